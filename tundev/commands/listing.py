"""`masterdev list`: the onsites that are online."""

from __future__ import annotations

import argparse
import json
import re
from contextlib import suppress
from typing import Any

from tundev.client import AgentClient
from tundev.contract import LIST_ONSITES
from vtunlib.errors import RdvError
from vtunlib.table import table

NAMES_SECONDS = 2.0
"""For completion: who types waits for it."""
_NAME = re.compile(r"[a-z][a-z0-9-]*")


def add_parser(commands: Any) -> None:
    """The word `masterdev list`."""
    parser = commands.add_parser("list", help="the onsites that are online")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--names", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(work=show)


async def show(agent: AgentClient, arguments: argparse.Namespace) -> int:
    """Print them, a row each."""
    if arguments.names:
        return await _names(agent)
    rows: list[dict[str, Any]] = await agent.call(LIST_ONSITES)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows:
        print("no onsite is online")
        return 0
    columns = ("id", "label", "location", "lan", "uplink", "since", "in_session")
    titles = ("ONSITE", "LABEL", "LOCATION", "LAN", "UPLINK", "ONLINE SINCE", "IN SESSION WITH")
    print(table(titles, [[str(row.get(column) or "-") for column in columns] for row in rows]))
    return 0


async def _names(agent: AgentClient) -> int:
    """For the shell's completion: the accounts alone, and silence where they cannot be had."""
    with suppress(RdvError):
        for row in await agent.call(LIST_ONSITES, deadline=NAMES_SECONDS):
            if _NAME.fullmatch(str(row.get("id"))):
                print(row["id"])
    return 0
