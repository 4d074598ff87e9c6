"""The agent and the watcher as the page knows them: by their signals, asked once when they appear.

One subscription for all who look at the page. A service that is away is None, and comes back by
itself. What the agent is asked to do goes through here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from dbus_fast.aio.message_bus import MessageBus

from tundev.contract import (
    BUS_NAMES,
    CONNECT,
    CONNECT_SECONDS,
    DISCONNECT,
    GET_INTERFACE,
    LIST_ONSITES,
    ONSITES_CHANGED,
    PORT_CHANGED,
    STATUS,
    STATUS_CHANGED,
    STEP,
    WATCHER,
    Key,
)
from tundev.states import ONLINE
from tundev.told import Told, Values
from tundev.web.bodies import Wish
from vtunlib import bus as buses
from vtunlib.errors import RdvError
from vtunlib.tunnel import Role

AGENT = BUS_NAMES[Role.MASTER]

log = logging.getLogger(__name__)


class Services:
    """What both have last told, in plain types."""

    def __init__(self, bus: MessageBus, changed: Callable[[], None], stepped: Callable[[str], None]) -> None:
        """changed: told after each change; stepped: told each step of a session that is being opened."""
        self.onsites: list[Values] | None = None
        """The rows of ListOnsites; None where the agent cannot know them."""
        self._bus = bus
        self._changed = changed
        self._stepped = stepped
        self._agent: Told[Values] = Told(bus, AGENT, STATUS, STATUS_CHANGED, self._agent_changed)
        self._watcher: Told[Values] = Told(bus, WATCHER, GET_INTERFACE, PORT_CHANGED, changed)
        self._listing: asyncio.Task[None] | None = None
        self._outdated = False
        self._was_online = False

    @property
    def agent(self) -> Values | None:
        """The agent's Status, by contract.Key."""
        return self._agent.values

    @property
    def port(self) -> Values | None:
        """The watcher's GetInterface, by contract.PortKey."""
        return self._watcher.values

    async def start(self) -> None:
        """Listen from now on. Raises RdvError."""
        await self._agent.on(STEP, self._stepped)
        await self._agent.on(ONSITES_CHANGED, self._list)
        await self._agent.follow()
        await self._watcher.follow()

    async def connect(self, wish: Wish) -> None:
        """Returns when the far end answers. Raises RdvError, with all undone."""
        await self._ask(
            CONNECT,
            "sssuu",
            *(wish.onsite, wish.mode, wish.reason, wish.seconds, wish.patience),
            deadline=CONNECT_SECONDS + wish.patience,
        )

    async def disconnect(self) -> None:
        """Returns when everything is undone. Raises RdvError."""
        await self._ask(DISCONNECT, deadline=CONNECT_SECONDS)

    async def _ask(
        self, member: str, signature: str = "", *arguments: Any, deadline: float = buses.CALL_SECONDS
    ) -> Any:
        return buses.plain(
            await buses.call(
                self._bus,
                *(AGENT.name, AGENT.path, AGENT.interface, member, signature),
                *arguments,
                deadline=deadline,
            )
        )

    # the onsites

    def _agent_changed(self) -> None:
        online = self.agent is not None and self.agent.get(Key.STATE) in ONLINE
        if not online:
            self.onsites = None
        came, self._was_online = online and not self._was_online, online
        if came:
            self._list()
        self._changed()

    def _list(self) -> None:
        """Ask for them, once more after the answer that is awaited: it may be from before the change."""
        self._outdated = self._was_online
        if self._listing is None or self._listing.done():
            self._listing = asyncio.create_task(self._list_until_current())

    async def _list_until_current(self) -> None:
        while self._outdated:
            self._outdated = False
            try:
                rows = await self._ask(LIST_ONSITES)
            except RdvError as error:
                rows = None
                log.debug("the onsites are not known: %s", error)  # the agent's state says why
            self.onsites = rows if self._was_online else None
            self._changed()
