"""`masterdev list`: the onsites that are online."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tundev.client import AgentClient
from tundev.contract import LIST_ONSITES
from vtunlib.table import table


def add_parser(commands: Any) -> None:
    """The word `masterdev list`."""
    parser = commands.add_parser("list", help="the onsites that are online")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(work=show)


async def show(agent: AgentClient, arguments: argparse.Namespace) -> int:
    """Print them, a row each."""
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
