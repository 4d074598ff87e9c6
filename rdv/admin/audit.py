"""`rdv-admin audit`: what happened on this server. It reads the store itself, so it needs no manager."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rdv import durations
from rdv.admin.link import note
from rdv.admin.shown import length, size
from rdv.audit.events import Event, Kind
from rdv.audit.forms import instant, to_json
from rdv.audit.store import PATH, Store
from vtunlib.errors import UsageError
from vtunlib.table import table

SCREENFUL = 200
"""How many events are shown to a person who gives no --limit."""
TITLES = ("WHEN (UTC)", "EVENT", "DEVICE", "SESSION", "WHAT")

_SHOWN_APART = frozenset(
    {
        "master",
        "mode",
        "why",
        "reason",
        "to_onsite",
        "from_onsite",
        "started",
        "seconds",
        "connection",
        "error",
        "rule",
        "on",
    }
)


def add_parser(subjects: Any) -> None:
    """The words of `rdv-admin audit`."""
    audit = subjects.add_parser(
        "audit",
        help="what happened: who came and went, who was in a session with whom and why",
        epilog="""examples:
  rdv-admin audit --since 7d
  rdv-admin audit --since 2026-11-01 --until 2026-12-01 --kind session-ended --json
  rdv-admin audit --device rpi1100 --kind online --kind offline
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    when = "2026-11-01, 2026-11-01T08:30 (both UTC), or 2h, 7d ago"
    audit.add_argument("--since", default="", metavar="WHEN", help=when)
    audit.add_argument("--until", default="", metavar="WHEN", help="the same; that instant is not included")
    audit.add_argument("--device", default="", metavar="NAME", help="also as the master of a session")
    audit.add_argument("--session", default="", metavar="ID")
    audit.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=[str(kind) for kind in Kind],
        metavar="KIND",
        help=", ".join(Kind),
    )
    audit.add_argument(
        "--limit", default="", metavar="N", help=f"only the newest N (without --json {SCREENFUL})"
    )
    audit.add_argument("--json", action="store_true", help="one array, an event a line, all without --limit")
    audit.set_defaults(work=audit_show)


async def audit_show(arguments: argparse.Namespace) -> None:
    """What happened, the oldest first."""
    now = datetime.datetime.now(datetime.UTC)
    asked: dict[str, Any] = {
        "since": parse_when(arguments.since, now) if arguments.since else None,
        "until": parse_when(arguments.until, now) if arguments.until else None,
        "device": arguments.device,
        "session": arguments.session,
        "kinds": arguments.kind,
    }
    limit = _limit(arguments.limit)
    with Store(PATH, read_only=True) as store:
        if arguments.json:
            _show_array(store.read(**asked, limit=limit))
            return
        most = limit or SCREENFUL
        events = list(store.read(**asked, limit=most + 1))
    if len(events) > most:
        note(f"only the newest {most} are shown: --limit and --since say how many")
    if not events:
        print("nothing of that kind has happened" if any(asked.values()) else "nothing has happened yet")
        return
    print(table(TITLES, [cells(event) for event in events[-most:]]))


def _show_array(events: Iterable[Event]) -> None:
    """One by one: there may be millions."""
    separator = "[\n"
    for event in events:
        sys.stdout.write(f"{separator}{to_json(event)}")
        separator = ",\n"
    print("[]" if separator == "[\n" else "\n]")


def cells(event: Event) -> list[str]:
    """What stands below each of TITLES for an event."""
    return [_shown(event.at), str(event.kind), event.device or "-", event.session or "-", what(event)]


def what(event: Event) -> str:
    """What there is to tell of an event, in a few words for people."""
    more = event.more
    words = []
    if "master" in more:
        words.append(
            " ".join(["with", str(more["master"]), *([str(more["mode"])] if "mode" in more else [])])
        )
    if event.kind is Kind.SESSION_ENDED and "started" in more:
        lasted = event.at - datetime.datetime.fromisoformat(str(more["started"]))
        words.append(length(lasted.total_seconds()))
    if "seconds" in more:
        words.append(f"after {more['seconds']} s")
    for key, text in (("to_onsite", "to the onsite"), ("from_onsite", "from it")):
        if isinstance(more.get(key), int):
            words.append(f"{size(more[key])} {text}")
    if "rule" in more:
        words.append(f"by rule {more['rule']}")
    if event.kind is Kind.DRAIN and "on" in more:
        words.append("no new sessions" if more["on"] else "new sessions again")
    words += [f"{key} {_text(value)}" for key, value in more.items() if key not in _SHOWN_APART]
    if more.get("reason"):
        words.append(f'reason "{more["reason"]}"')
    if more.get("why"):
        words.append(str(more["why"]))
    return ", ".join(words) or "-"


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _shown(at: datetime.datetime) -> str:
    return instant(at)[:19].replace("T", " ")


def parse_when(text: str, now: datetime.datetime) -> datetime.datetime:
    """The instant that a person means by `2h`, `2026-11-01` or `2026-11-01T08:30`. Raises UsageError."""
    with suppress(UsageError):
        return now - durations.parse(text)
    try:
        then = datetime.datetime.fromisoformat(text)
        return (then if then.tzinfo else then.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no time",
            "expected a date or time in UTC, as 2026-11-01 or 2026-11-01T08:30, or how long ago, as 2h or 7d",
        ) from None


def _limit(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10**9):
        raise UsageError(f"--limit {text!r} is no number of events", "expected a number, as 50")
    return int(text)
