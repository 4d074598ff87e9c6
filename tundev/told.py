"""What a service of this device tells of itself, followed by its signals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from dbus_fast.aio.message_bus import MessageBus

from tundev.contract import BusName
from vtunlib import bus as buses
from vtunlib.errors import NotRunning, RdvError

log = logging.getLogger(__name__)

Values = dict[str, Any]
T = TypeVar("T")


class Told(Generic[T]):
    """What one service tells of itself, None while nobody owns its name."""

    def __init__(
        self, bus: MessageBus, service: BusName, question: str, signal: str, changed: Callable[[], None]
    ) -> None:
        self.values: T | None = None
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

    def _take(self, values: T | None) -> None:
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
        except NotRunning:
            return  # it is told when it comes
        except RdvError as error:
            log.info("%s does not answer: %s", service.unit, error)
            return
        if self._news == news:
            self._take(buses.plain(answer))
