"""`masterdev status`: how far the agent is, the session, and what is wrong where something is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tundev.advice import advice
from tundev.client import AgentClient, PortClient
from tundev.contract import Key, PortKey
from vtunlib.errors import printable
from vtunlib.tunnel import Role

_HIDDEN = (Key.FAILURE_CLASS, Key.ENDED_AS_WISHED, Key.UPLINK_TYPE)
"""For programs: a person is told the same in words."""


def add_parser(commands: Any) -> None:
    """The word `masterdev status`."""
    parser = commands.add_parser("status", help="how far the agent is, the adapter, the session")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--watch", action="store_true", help="go on showing it as it changes, until Ctrl-C")
    parser.set_defaults(work=show)


async def show(agent: AgentClient, arguments: argparse.Namespace) -> int:
    """Print it as it is now, or as it changes."""
    if arguments.watch:
        from tundev.commands.watching import watch

        return await watch(agent, as_json=arguments.json)
    status = await agent.status()
    port = await PortClient(agent.bus).port() if agent.role is Role.MASTER else None
    print(json.dumps(for_programs(status, port), indent=2) if arguments.json else text(status, port))
    return 0


def for_programs(status: Mapping[str, Any] | None, port: Mapping[str, Any] | None) -> dict[str, Any]:
    """The status; `adapter` is the port, `trouble` the advice, where there are such."""
    told = advice(status, port)
    return {
        **(status or {}),
        **({"adapter": dict(port)} if port else {}),
        **({"trouble": asdict(told)} if told else {}),
    }


def text(status: Mapping[str, Any] | None, port: Mapping[str, Any] | None) -> str:
    """As a person reads it, with the advice below."""
    rows = []
    for key, value in (status or {}).items():
        if key not in _HIDDEN:
            lines = value if key == Key.UPLINKS else [_shown(value)]
            rows += [f"{key.replace('_', ' '):<10} {line}" for line in lines]
    if port:
        rows.append(f"{'adapter':<10} {adapter(port)}")
    told = advice(status, port)
    below = (["", *told.lines()] if rows else told.lines()) if told else []
    return "\n".join([*(printable(row) for row in rows), *below])


def adapter(port: Mapping[str, Any]) -> str:
    """The technician's port on one line: its state, what it is, who is at it."""
    words = [str(port.get(PortKey.STATE, "-")).replace("_", " ")]
    for key, before in ((PortKey.INTERFACE, ""), (PortKey.ADDRESS, ""), (PortKey.LEASE, "laptop ")):
        if port.get(key):
            words.append(f"{before}{port[key]}")
    if port.get(PortKey.MOVED):
        words.append(f"moved: {port[PortKey.MOVED]}")
    if port.get(PortKey.WAITING):
        words.append(f"waiting: {' '.join(port[PortKey.WAITING])}")
    return ", ".join(words)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(value) if isinstance(value, list) else str(value)
