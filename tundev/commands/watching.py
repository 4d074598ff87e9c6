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
from typing import Any

from tundev import client
from tundev.advice import advice
from tundev.client import AgentClient, PortClient, ServiceClient
from tundev.commands import status as shown
from tundev.contract import GET_INTERFACE, PORT_CHANGED, STATUS, STATUS_CHANGED, Key
from vtunlib import bus as buses
from vtunlib.errors import ConfigError, NotRunning, printable

_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[2J"


async def watch(agent: AgentClient, *, as_json: bool) -> int:
    """Show it until SIGINT or SIGTERM; a service that is not there is waited for. Raises NotAllowed."""
    stop = client.until_signal()
    changed = asyncio.Event()
    followed = [
        _Followed(agent, STATUS, STATUS_CHANGED, changed),
        _Followed(PortClient(agent.bus), GET_INTERFACE, PORT_CHANGED, changed),
    ]
    for one in followed:
        await one.begin()
    if sys.stdout.isatty():
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
    showing = asyncio.create_task(_show(followed, changed, as_json=as_json))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({showing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if showing.done():
        await showing
    showing.cancel()
    return 0


class _Followed:
    """What a service says of itself, kept up to date; None while it does not run."""

    def __init__(self, service: ServiceClient, question: str, news: str, changed: asyncio.Event) -> None:
        self.value: dict[str, Any] | None = None
        self._service = service
        self._question, self._news = question, news
        self._changed = changed
        self._to_ask = True
        self._told = 0

    async def begin(self) -> None:
        """Hear of changes from now on."""
        await self._service.on(self._news, self._tell)
        await buses.on_owner(self._service.bus, self._service.contract.name, self._owned)
        self._changed.set()

    def _tell(self, values: dict[str, Any]) -> None:
        self.value = buses.plain(values)
        self._told += 1
        self._changed.set()

    def _owned(self, owner: str) -> None:
        self._to_ask = True
        if not owner:
            self.value = None
        self._changed.set()

    async def ask(self) -> None:
        """How it is, where that is not known."""
        if not self._to_ask:
            return
        self._to_ask, told = False, self._told
        try:
            value = await self._service.call(self._question)
        except (ConfigError, NotRunning):
            value = None
        if self._told == told:  # else what was told meanwhile is newer
            self.value = value


async def _show(followed: list[_Followed], changed: asyncio.Event, *, as_json: bool) -> None:
    screen = sys.stdout.isatty() and not as_json
    last = None
    while True:
        await changed.wait()
        changed.clear()
        for one in followed:
            await one.ask()
        status, port = (one.value for one in followed)
        if screen:
            text = _fitted(shown.text(status, port))
        elif as_json:
            text = json.dumps(shown.for_programs(status, port))
        else:
            text = line(status, port)
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
