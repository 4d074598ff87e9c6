"""The port as others are told of it, and the signals that tell what is different."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tundev.contract import INTERFACE_ADDED, INTERFACE_REMOVED, PORT_CHANGED, PortKey, PortState
from tundev.port import others
from tundev.port.adapters import Choice
from tundev.port.life import HELD
from tundev.port.subnets import Subnet
from vtunlib import bus as buses

log = logging.getLogger(__name__)

Tell = Callable[..., None]
"""Member, signature and arguments of a signal."""


@dataclass(frozen=True)
class Laptop:
    """Who has a lease; name: what it calls itself, printable, may be empty."""

    address: str
    mac: str
    name: str


def values(
    state: PortState,
    choice: Choice,
    subnet: Subnet | None,
    servers: tuple[str, ...] | None,
    laptop: Laptop | None,
    *,
    reason: str,
    moving: str,
) -> dict[str, Any]:
    """By contract.PortKey; what there is nothing to tell of is absent."""
    told: dict[str, Any] = {PortKey.STATE: state, PortKey.REASON: reason}
    adapter = choice.port
    if adapter is not None:
        told |= {
            PortKey.INTERFACE: adapter.name,
            PortKey.DRIVER: adapter.driver,
            PortKey.PRODUCT: adapter.product,
            PortKey.MAC: adapter.mac,
        }
    if subnet is not None and state in HELD:
        told |= {PortKey.ADDRESS: str(subnet.address), PortKey.MOVED: subnet.moved, PortKey.MOVING: moving}
        told[PortKey.DNS] = [server.partition("@")[0] for server in servers or ()]
        if laptop is not None:
            told |= {PortKey.LEASE: laptop.address, PortKey.LAPTOP: laptop.name}
    told |= {PortKey.WAITING: others.waiting(choice), PortKey.LEFT_ALONE: others.left_alone(choice)}
    return {str(key): value for key, value in told.items() if value}


class Announcements:
    """What was told last; what is new against that is told, and each change of the state logged."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._values: dict[str, Any] = {}

    def make(self, new: dict[str, Any], gone: str) -> None:
        """Tell of these values. gone: why it is ready no longer, should that be new."""
        former, self._values = self._values, new
        if new == former:
            return
        self._tell(PORT_CHANGED, "a{sv}", buses.variants(new))
        before, state = former.get(PortKey.STATE, str(PortState.ABSENT)), new[PortKey.STATE]
        if state == before:
            return
        why = f": {new[PortKey.REASON]}" if PortKey.REASON in new else ""
        log.info("%s -> %s%s", before, state, why)
        if state in HELD and before not in HELD:
            self._tell(INTERFACE_ADDED, "s", new[PortKey.INTERFACE])
        elif before in HELD and state not in HELD:
            self._tell(INTERFACE_REMOVED, "ss", former[PortKey.INTERFACE], gone)
