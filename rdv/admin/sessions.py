"""`rdv-admin session`: who is connected to whom, and ending it."""

from __future__ import annotations

import argparse
import datetime
import json
from typing import Any

from rdv import contract
from rdv.admin.link import manager, show_json
from rdv.admin.shown import fitted, width
from rdv.admin.status import sessions_table
from rdv.facts import short_text


def add_parser(subjects: Any) -> None:
    """The words of `rdv-admin session`."""
    sessions = subjects.add_parser("session", help="the sessions").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = sessions.add_parser("list", help="who is connected to whom")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(work=session_list)
    drop = sessions.add_parser("drop", help="end a session")
    drop.add_argument("name", metavar="SESSION|DEVICE")
    drop.add_argument("--reason", default="", metavar="TEXT", help="both sides are told")
    drop.add_argument("--json", action="store_true")
    drop.set_defaults(work=session_drop)


async def session_list(arguments: argparse.Namespace) -> None:
    """Who is connected to whom."""
    rows = [json.loads(row) for row in await manager(contract.LIST_SESSIONS)]
    if arguments.json:
        show_json(rows)
    elif not rows:
        print("no session")
    else:
        now = datetime.datetime.now(datetime.UTC)
        print(fitted(sessions_table(rows, now), width()))


async def session_drop(arguments: argparse.Namespace) -> None:
    """End a session."""
    reason = short_text(arguments.reason, "reason")
    number = await manager(contract.DROP_SESSION, arguments.name, reason)
    if arguments.json:
        show_json({"id": number, "dropped": True})
    else:
        print(f"session {number}: dropped")
