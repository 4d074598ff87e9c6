"""The type of uplink that is to be used by hand, for as long as who said so is on the bus."""

from __future__ import annotations

from collections.abc import Callable

from dbus_fast.aio.message_bus import MessageBus

from vtunlib import bus as buses
from vtunlib.tunnel import UplinkType


class Pick:
    """kind is None where nobody has picked; `changed` is called when it may be another."""

    def __init__(self, bus: MessageBus, changed: Callable[[], None]) -> None:
        self.kind: UplinkType | None = None
        self._bus = bus
        self._changed = changed
        self._caller = ""
        self._forget: buses.Stop | None = None

    async def take(self, kind: UplinkType, caller: str) -> None:
        """This type, instead of what another caller picked. caller: its unique name. Raises RdvError."""
        forget = await buses.on_owner(self._bus, caller, lambda owner: None if owner else self._gone(caller))
        former, self._forget = self._forget, forget
        self.kind, self._caller = kind, caller
        self._changed()
        if former is not None:
            await former()
        if not await buses.owner(self._bus, caller):
            self._gone(caller)

    def _gone(self, caller: str) -> None:
        if caller == self._caller:
            self.kind, self._caller = None, ""
            self._changed()
