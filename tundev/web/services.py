"""The agent and the watcher as the page knows them: by their signals, asked once when they appear.

One subscription for all who look at the page. A service that is away is None, and comes back by
itself. What the agent is asked to do goes through here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
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
    BusName,
    Key,
)
from tundev.states import State
from tundev.web.bodies import Wish
from vtunlib import bus as buses
from vtunlib.errors import RdvError
from vtunlib.tunnel import Role

AGENT = BUS_NAMES[Role.MASTER]
_ONLINE = (State.SSH_CONNECTION_OK, State.TUNNEL_CONNECTION_OK, State.SESSION_OK)
"""The states in which the agent can ask the RDV for its onsites."""

log = logging.getLogger(__name__)

Values = dict[str, Any]


class Services:
    """What both have last told, in plain types."""

    def __init__(self, bus: MessageBus, changed: Callable[[], None], stepped: Callable[[str], None]) -> None:
        """changed: told after each change; stepped: told each step of a session that is being opened."""
        self.onsites: list[Values] | None = None
        """The rows of ListOnsites; None where the agent cannot know them."""
        self._bus = bus
        self._changed = changed
        self._stepped = stepped
        self._agent = _Told(bus, AGENT, STATUS, STATUS_CHANGED, self._agent_changed)
        self._watcher = _Told(bus, WATCHER, GET_INTERFACE, PORT_CHANGED, changed)
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
        online = self.agent is not None and self.agent.get(Key.STATE) in _ONLINE
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


class _Told:
    """What one service tells of itself, None while nobody owns its name."""

    def __init__(
        self, bus: MessageBus, service: BusName, question: str, signal: str, changed: Callable[[], None]
    ) -> None:
        self.values: Values | None = None
        self._bus = bus
        self._service = service
        self._question = question
        self._signal = signal
        self._changed = changed
        self._news = 0
        self._asking: set[asyncio.Task[None]] = set()

    async def on(self, member: str, handler: Callable[..., None]) -> None:
        """Call `handler` at each such signal of the service."""
        service = self._service
        await buses.on_signal(self._bus, service.name, service.path, service.interface, member, handler)

    async def follow(self) -> None:
        """Know it from now on, in whatever order it comes and goes."""
        await self.on(self._signal, lambda values: self._take(buses.plain(values)))
        await buses.on_owner(self._bus, self._service.name, self._owned)
        await self._ask()

    def _take(self, values: Values | None) -> None:
        self._news += 1
        self.values = values
        self._changed()

    def _owned(self, owner: str) -> None:
        self._take(None)
        if owner:
            self._start(self._ask())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self) -> None:
        """What a signal told meanwhile is newer than the answer."""
        service, news = self._service, self._news
        try:
            answer = await buses.call(
                self._bus, service.name, service.path, service.interface, self._question
            )
        except RdvError as error:
            log.info("%s does not answer: %s", service.unit, error)
            return
        if self._news == news:
            self._take(buses.plain(answer))
