"""Lines of what happens, and of what is going on when one begins to watch."""

from __future__ import annotations

import datetime

from rdv.admin import watch
from rdv.audit.events import Event, Kind
from rdv.audit.forms import to_json

AT = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.UTC)


def test_an_event_is_one_line_that_cannot_write_on_the_terminal() -> None:
    event = Event(Kind.OFFLINE, "rpi1100", more={"why": "gone\n\x1b[2J"}, at=AT)
    assert watch.line(to_json(event)) == (
        "2026-11-25 12:00:00  offline          rpi1100   -         gone??[2J"
    )


def test_an_event_of_a_newer_manager_is_shown_as_it_came() -> None:
    text = to_json(Event(Kind.ONLINE, at=AT)).replace("online", "teleported")
    assert watch.line(text) == text


def test_who_begins_to_watch_sees_what_is_going_on() -> None:
    session = {"id": "0123abcd", "master": "m1", "onsite": "o1", "mode": "L3", "since": "x", "reason": ""}
    status = {
        "since": "2026-11-25T08:00:00Z",
        "devices": [{}, {}],
        "sessions": [session],
        "drain": {"since": "x", "reason": ""},
        "warnings": [{"text": "acl.toml:3: bad"}],
    }
    assert watch.now_lines(status) == [
        "- the manager runs since 2026-11-25T08:00:00Z; online: 2, sessions: 1",
        "- session 0123abcd of m1 with o1, L3, since x, reason -",
        "- new sessions are refused: -",
        "- warning: acl.toml:3: bad",
    ]
    assert watch.now_lines(None) == ["- the manager does not run; waiting for it"]
