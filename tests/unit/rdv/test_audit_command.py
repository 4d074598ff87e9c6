"""What an admin reads of the audit."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
from pathlib import Path

import pytest

from rdv.admin import audit
from rdv.audit.events import Event, Kind
from rdv.audit.forms import to_json, to_object
from rdv.audit.store import Store
from vtunlib.errors import UsageError

NOW = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.UTC)
ENDED = Event(
    Kind.SESSION_ENDED,
    "o1",
    "0123abcd",
    {
        "master": "m1",
        "mode": "L3",
        "reason": "ticket 4711",
        "started": "2026-11-25T11:00:00.000Z",
        "why": "dropped by master m1",
        "to_onsite": 1234,
        "from_onsite": 5_600_000,
    },
    NOW,
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2h", "2026-11-25T10:00:00+00:00"),
        ("7d", "2026-11-18T12:00:00+00:00"),
        ("90s", "2026-11-25T11:58:30+00:00"),
        ("5m", "2026-11-25T11:55:00+00:00"),
        ("5min", "2026-11-25T11:55:00+00:00"),
        ("2w", "2026-11-11T12:00:00+00:00"),
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T08:30", "2026-11-01T08:30:00+00:00"),
        ("2026-11-01 08:30:15", "2026-11-01T08:30:15+00:00"),
        ("2026-11-01T08:30Z", "2026-11-01T08:30:00+00:00"),
        ("2026-11-01T08:30+02:00", "2026-11-01T06:30:00+00:00"),
    ],
)
def test_a_time_is_taken_as_a_person_means_it(text: str, meant: str) -> None:
    assert audit.parse_when(text, NOW).isoformat() == meant


@pytest.mark.parametrize("text", ["yesterday", "7", "7y", "-2h", "2026-13-01", "99999999d", "999999w", "٣h"])
def test_what_is_no_time_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match="expected a date or time in UTC"):
        audit.parse_when(text, NOW)


def test_a_session_s_end_tells_all_of_it_in_one_line() -> None:
    assert audit.what(ENDED) == (
        'with m1 L3, 1 h, 1.23 kB to the onsite, 5.60 MB from it, reason "ticket 4711", dropped by master m1'
    )


def test_a_kind_without_words_of_its_own_is_told_by_its_keys() -> None:
    event = Event(Kind.CLONE, "o1", more={"addresses": ["192.0.2.1", "192.0.2.2"], "why": "again and again"})
    assert audit.what(event) == "addresses 192.0.2.1 192.0.2.2, again and again"
    assert audit.what(Event(Kind.DEVICE_REMOVED, "o1")) == "-"


def test_before_maintenance_is_told_in_words() -> None:
    begun = Event(Kind.DRAIN, more={"on": True, "reason": "new kernel"})
    assert audit.what(begun) == 'no new sessions, reason "new kernel"'
    assert audit.what(Event(Kind.DRAIN, more={"on": False})) == "new sessions again"


def run(monkeypatch: pytest.MonkeyPatch, path: Path, *words: str) -> None:
    parser = argparse.ArgumentParser()
    audit.add_parser(parser.add_subparsers())
    monkeypatch.setattr(audit, "PATH", path)
    asyncio.run(audit.audit_show(parser.parse_args(["audit", *words])))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a store with 300 comings and a session's end."""
    with Store(tmp_path / "audit.db") as store:
        store.append([*(Event(Kind.ONLINE, f"o{n}", at=NOW) for n in range(300)), ENDED])
    return tmp_path / "audit.db"


def test_a_person_sees_the_newest_and_is_told_that_there_are_more(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, path)
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert len(lines) == 1 + audit.SCREENFUL and "only the newest 200" in shown.err
    assert lines[-1].startswith("2026-11-25 12:00:00  session-ended  o1")
    run(monkeypatch, path, "--kind", "session-ended", "--session", "0123abcd")
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2 and shown.err == ""
    run(monkeypatch, path, "--since", "2026-11-26")
    assert capsys.readouterr().out == "nothing of that kind has happened\n"


def test_a_program_gets_everything_as_one_array(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, path, "--json")
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 301 and rows[-1] == to_object(ENDED)
    run(monkeypatch, path, "--json", "--limit", "2")
    assert [row["device"] for row in json.loads(capsys.readouterr().out)] == ["o299", "o1"]
    run(monkeypatch, path, "--json", "--device", "nobody")
    assert json.loads(capsys.readouterr().out) == []


def test_nothing_that_a_stranger_sent_reaches_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = "x\x1b[2J\x9b2J\u202e\n"
    with Store(tmp_path / "audit.db") as store:
        store.append([Event(Kind.REFUSED, bad, bad, {"why": bad, "address": bad})])
    for words in ((), ("--json",)):
        run(monkeypatch, tmp_path / "audit.db", *words)
        assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())
    assert json.loads(to_json(Event(Kind.REFUSED, bad)))["device"] == bad


@pytest.mark.parametrize("limit", ["0", "-1", "many", "²"])
def test_a_limit_that_is_no_number_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    with pytest.raises(UsageError, match="expected a number"):
        run(monkeypatch, path, f"--limit={limit}")
