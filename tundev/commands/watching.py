"""`masterdev status --watch`: the status as it changes, told by the services' own signals.

On a terminal it is one screen, drawn anew; elsewhere a line for each change, for
programs one with all that is known.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tundev import client
from tundev.advice import advice
from tundev.client import AgentClient
from tundev.commands import status as shown
from tundev.contract import GET_INTERFACE, PORT_CHANGED, STATUS, STATUS_CHANGED, WATCHER, Key
from tundev.told import Told, Values
from vtunlib.errors import ConfigError, NotRunning, printable

_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[2J"


async def watch(agent: AgentClient, *, as_json: bool) -> int:
    """Show it until SIGINT or SIGTERM; a service that is not there is waited for. Raises NotAllowed."""
    stop = client.until_signal()
    with suppress(ConfigError, NotRunning):
        await agent.status()  # who may not ask is told so
    changed = asyncio.Event()
    told: Told[Values] = Told(agent.bus, agent.contract, STATUS, STATUS_CHANGED, changed.set)
    port: Told[Values] = Told(agent.bus, WATCHER, GET_INTERFACE, PORT_CHANGED, changed.set)
    await told.follow()
    await port.follow()
    changed.set()
    if sys.stdout.isatty():
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
    showing = asyncio.create_task(_show(told, port, changed, as_json=as_json))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({showing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if showing.done():
        await showing
    showing.cancel()
    return 0


async def _show(told: Told[Values], port: Told[Values], changed: asyncio.Event, *, as_json: bool) -> None:
    screen = sys.stdout.isatty() and not as_json
    last = None
    while True:
        await changed.wait()
        changed.clear()
        if screen:
            text = _fitted(shown.text(told.values, port.values))
        elif as_json:
            text = json.dumps(shown.for_programs(told.values, port.values))
        else:
            text = line(told.values, port.values)
        if text == last and not screen:
            continue
        first, last = last is None, text
        print(f"{_CLEAR if first else ''}{_screen(text)}" if screen else text, end="" if screen else "\n")
        sys.stdout.flush()


def line(status: Mapping[str, Any] | None, port: Mapping[str, Any] | None) -> str:
    """The state, the session, the adapter and what is wrong, on one line that changes when these do."""
    words = []
    if status is not None:
        words.append(str(status.get(Key.STATE)))
        session = f"in session with {status.get(Key.ONSITE)}, {status.get(Key.MODE)}"
        words.append(session if status.get(Key.SESSION) else "no session")
    if port is not None:
        words.append(f"adapter {shown.adapter(port)}")
    told = advice(status, port)
    if told:
        words.append(f"{told.title}: {told.text}")
    return printable("; ".join(words))


def _screen(text: str) -> str:
    """Drawn over what is there, so that nothing flickers."""
    rows = "".join(f"{row}{_REST_OF_LINE}\r\n" for row in text.splitlines())
    return f"{_HOME}{rows}{_REST_OF_SCREEN}"


def _fitted(text: str) -> str:
    """What the terminal has room for."""
    size = shutil.get_terminal_size()
    return "\n".join(row[: size.columns] for row in text.splitlines()[: size.lines - 1])
