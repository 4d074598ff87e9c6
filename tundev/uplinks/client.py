"""What an agent knows of the uplinks that it does not use, and its word which one it is to be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from dbus_fast.aio.message_bus import MessageBus

from tundev.contract import GET_UPLINKS, PICK, UPLINK_WATCH, UPLINKS_CHANGED
from tundev.told import Told, Values
from tundev.uplinks import standing
from vtunlib import bus as buses
from vtunlib import units
from vtunlib.errors import RdvError
from vtunlib.tunnel import UplinkType

log = logging.getLogger(__name__)


class UplinksClient:
    """The service of the uplinks, followed. An agent works without it too, by the routes as they are."""

    def __init__(
        self, bus: MessageBus, changed: Callable[[], None], picked: UplinkType | None = None
    ) -> None:
        """picked: by hand; for as long as this process is on the bus."""
        self._bus = bus
        self._picked = picked
        self._told: Told[list[Values]] = Told(bus, UPLINK_WATCH, GET_UPLINKS, UPLINKS_CHANGED, changed)
        self._picking: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """From now on."""
        await self._told.follow()
        if self._picked is not None:
            await buses.on_owner(self._bus, UPLINK_WATCH.name, self._came)
            if await buses.owner(self._bus, UPLINK_WATCH.name):
                await self._pick(self._picked)
            else:
                await self._start()

    def words(self) -> list[str] | None:
        """What each uplink is, for a person; None where there are not several."""
        uplinks: list[dict[str, Any]] = self._told.values or []
        return [standing.text(uplink) for uplink in uplinks] if len(uplinks) > 1 else None

    def _came(self, owner: str) -> None:
        if owner and self._picked is not None:
            self._picking = asyncio.create_task(self._pick(self._picked))

    async def _start(self) -> None:
        """It ends with the agent's unit, and this is perhaps an agent that runs by hand."""
        try:
            await asyncio.to_thread(units.start, UPLINK_WATCH.unit)
        except RdvError as error:
            log.warning("the uplink %s cannot be picked: %s", self._picked, error)

    async def _pick(self, kind: UplinkType) -> None:
        service = UPLINK_WATCH
        try:
            await buses.call(self._bus, service.name, service.path, service.interface, PICK, "s", str(kind))
        except RdvError as error:
            log.warning("the uplink %s cannot be picked: %s", kind, error)
