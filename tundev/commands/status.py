"""`masterdev status`: how far the agent is, the session, and what is wrong where something is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tundev.advice import advice
from tundev.client import AgentClient, PortClient
from tundev.contract import Key
from vtunlib.errors import printable
from vtunlib.tunnel import Role


def add_parser(commands: Any) -> None:
    """The word `masterdev status`."""
    parser = commands.add_parser("status", help="how far the agent is, and the session")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(work=show)


async def show(agent: AgentClient, arguments: argparse.Namespace) -> int:
    """Print it as it is now."""
    status = await agent.status()
    port = await PortClient(agent.bus).port() if agent.role is Role.MASTER else None
    print(as_json(status, port) if arguments.json else text(status, port))
    return 0


def as_json(status: Mapping[str, Any], port: Mapping[str, Any] | None) -> str:
    """The status for programs, with `trouble` where something is wrong."""
    told = advice(status, port)
    return json.dumps({**status, **({"trouble": asdict(told)} if told else {})}, indent=2)


def text(status: Mapping[str, Any], port: Mapping[str, Any] | None) -> str:
    """The status as a person reads it, with the advice below."""
    told = advice(status, port)
    return "\n".join([*_rows(status), *(["", *told.lines()] if told else [])])


def _rows(status: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, value in status.items():
        if key in (Key.FAILURE_CLASS, Key.ENDED_AS_WISHED):
            continue
        if isinstance(value, bool):
            shown = "yes" if value else "no"
        else:
            shown = " ".join(value) if isinstance(value, list) else str(value)
        rows.append(printable(f"{key.replace('_', ' '):<10} {shown}"))
    return rows
