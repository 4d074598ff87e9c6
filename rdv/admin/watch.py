"""`rdv-admin watch`: what happens, as it happens, until Ctrl-C.

It begins with what is going on now, and does so again when the manager comes back
after a restart: what happened meanwhile is in `rdv-admin audit`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from functools import partial
from typing import Any

from dbus_fast.aio.message_bus import MessageBus

from rdv import contract
from rdv.admin.audit import cells
from rdv.admin.shown import cell
from rdv.audit.forms import from_json
from vtunlib import bus as buses
from vtunlib.errors import NotRunning, RdvError, printable

_WIDTHS = (19, 15, 8, 8, 0)
"""Of an event's cells: the lines come one by one, so these are as wide as most are."""


def add_parser(subjects: Any) -> None:
    """The word `rdv-admin watch`."""
    parser = subjects.add_parser(
        "watch", help="what happens, as it happens, until Ctrl-C; also over a restart of the manager"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(work=watch)


async def watch(arguments: argparse.Namespace) -> None:
    """Show what is going on and then each event, a line each, until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    bus = await buses.connect()
    try:
        watching = asyncio.create_task(_watch(bus, arguments.json))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if watching.done():
            watching.result()
        watching.cancel()
    finally:
        bus.disconnect()


async def _watch(bus: MessageBus, as_json: bool) -> None:
    came: asyncio.Queue[str] = asyncio.Queue()
    owners: asyncio.Queue[str] = asyncio.Queue()
    news = asyncio.Event()

    def tell(queue: asyncio.Queue[str], text: str) -> None:
        queue.put_nowait(text)
        news.set()

    event = contract.EVENT
    await buses.on_signal(
        bus, contract.BUS_NAME, contract.PATH, event.interface, event.member, partial(tell, came)
    )
    await buses.on_owner(bus, contract.BUS_NAME, partial(tell, owners))
    tell(owners, await buses.owner(bus, contract.BUS_NAME))
    while True:
        await news.wait()
        news.clear()
        while not owners.empty():
            await _show_manager(bus, owners.get_nowait(), as_json)
        while not came.empty():
            text = came.get_nowait()
            print(text if as_json else line(text), flush=True)


def line(text: str) -> str:
    """An event, given as its JSON, in a line for people."""
    try:
        shown = [printable(word) for word in cells(from_json(text))]
    except RdvError:
        return printable(text)  # of a newer manager than this command
    return "  ".join(word.ljust(width) for word, width in zip(shown, _WIDTHS, strict=True))


async def _show_manager(bus: MessageBus, owner: str, as_json: bool) -> None:
    """Say what is going on now, or that the manager has gone. owner: its name on the bus."""
    status: dict[str, Any] | None = None
    if owner:
        try:
            answer = await buses.call(
                bus, owner, contract.PATH, contract.STATUS.interface, contract.STATUS.member
            )
            status = json.loads(answer)
        except NotRunning:
            pass  # gone again already: the bus tells next
    shown = [json.dumps({"now": status}, ensure_ascii=False)] if as_json else now_lines(status)
    print("\n".join(shown), flush=True)


def now_lines(status: dict[str, Any] | None) -> list[str]:
    """What is going on, by the manager's STATUS; None: it does not run."""
    if status is None:
        return ["- the manager does not run; waiting for it"]
    devices, sessions = status["devices"], status["sessions"]
    lines = [f"- the manager runs since {status['since']}; online: {len(devices)}, sessions: {len(sessions)}"]
    lines += [
        f"- session {row['id']} of {row['master']} with {row['onsite']}, {row['mode']}, "
        f"since {row['since']}, reason {cell(row, 'reason')}"
        for row in sessions
    ]
    if status["drain"]:
        lines.append(f"- new sessions are refused: {cell(status['drain'], 'reason')}")
    lines += [f"- warning: {one['text']}" for one in status["warnings"]]
    return [printable(line) for line in lines]
