"""The agent of this device, whichever role's is installed, followed by its signals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dbus_fast.aio.message_bus import MessageBus

from tundev.contract import BUS_NAMES, STATUS, STATUS_CHANGED
from tundev.told import Told, Values
from vtunlib.tunnel import Role

PROGRAMS = {Role.ONSITE: Path("/usr/bin/onsitedev"), Role.MASTER: Path("/usr/bin/masterdev")}


async def follow_agent(bus: MessageBus, changed: Callable[[Values | None], None]) -> None:
    """Call `changed` with each new status, by contract.Key; None while no agent runs."""
    # The packages of the two roles conflict: there is one of them.
    role = next((role for role, program in PROGRAMS.items() if program.exists()), None)
    if role is not None:
        told: Told[Values] = Told(bus, BUS_NAMES[role], STATUS, STATUS_CHANGED, lambda: changed(told.values))
        await told.follow()
