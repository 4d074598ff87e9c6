"""The port as others are told of it: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tundev.contract import PortKey, PortState
from tundev.port import others
from tundev.port.adapters import Choice
from tundev.port.life import HELD
from tundev.port.subnets import Subnet


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
