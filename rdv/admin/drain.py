"""`rdv-admin drain`: before maintenance, no new sessions."""

from __future__ import annotations

import argparse
from typing import Any

from rdv import drain
from rdv.admin.link import record
from rdv.audit.events import Event, Kind
from rdv.facts import short_text
from vtunlib.errors import UsageError


def add_parser(subjects: Any) -> None:
    """The word `rdv-admin drain`."""
    parser = subjects.add_parser(
        "drain",
        help="refuse new sessions, until --off or a reboot; those that run live on",
        description="Refuse new sessions from now on, until --off or a reboot; those that run live on.",
    )
    parser.add_argument("--off", action="store_true", help="take new sessions again")
    parser.add_argument("--reason", default="", metavar="TEXT", help="the technicians are told")
    parser.set_defaults(work=drain_work)


async def drain_work(arguments: argparse.Namespace) -> None:
    """Refuse new sessions, or take them again."""
    reason = short_text(arguments.reason.strip(), "reason")
    if arguments.off:
        if reason:
            raise UsageError("--reason is for refusing, not for --off")
        changed = drain.end()
        if changed:
            record(Event(Kind.DRAIN, more={"on": False}))
        print("new sessions are taken again" if changed else "new sessions are taken already")
        return
    changed = drain.begin(reason)
    if changed:
        record(Event(Kind.DRAIN, more={"on": True, "reason": reason}))
    print("new sessions are refused from now on" if changed else "new sessions are refused already")
    print("'rdv-admin drain --off' takes them again; 'rdv-admin session list' shows which still run")
