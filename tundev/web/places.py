"""Where the page is to be had, as follows from what is known: pure.

On the technician's port while that has an address; on the support desk's LAN only where the
configuration says so. An agent or a watcher that is away has taken no address with it: the page
stays where it was.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any

from tundev.contract import Key, PortKey
from vtunlib.tunnel import UplinkType

NAME = "master.local"
"""What the laptop may call the page, by mDNS, on the technician's port."""


class Kind(StrEnum):
    """On which side of this device."""

    PORT = "port"
    UPLINK = "uplink"


@dataclass(frozen=True)
class Place:
    """An address of this device, and the interface by which alone the page is reached there."""

    kind: Kind
    address: IPv4Address
    link: str

    @property
    def url(self) -> str:
        """The page's."""
        return f"http://{self.address}/"


Places = Mapping[Kind, Place]


def places(
    former: Places, agent: Mapping[str, Any] | None, port: Mapping[str, Any] | None, *, uplink: bool
) -> dict[Kind, Place]:
    """By the agent's Status and the watcher's GetInterface, None for one that does not run.

    uplink: whether the configuration wants it there; never on a modem, which is no LAN.
    """
    wanted: dict[Kind, Place | None] = {}
    if port is None:
        wanted[Kind.PORT] = former.get(Kind.PORT)
    else:
        wanted[Kind.PORT] = _place(Kind.PORT, port.get(PortKey.ADDRESS), port.get(PortKey.INTERFACE))
    if not uplink or (agent is not None and agent.get(Key.UPLINK_TYPE) == UplinkType.MOBILE):
        wanted[Kind.UPLINK] = None
    elif agent is None:
        wanted[Kind.UPLINK] = former.get(Kind.UPLINK)
    else:
        wanted[Kind.UPLINK] = _place(Kind.UPLINK, agent.get(Key.ADDRESS), agent.get(Key.UPLINK))
    return {kind: place for kind, place in wanted.items() if place is not None}


def next_place(port: Mapping[str, Any] | None) -> Place | None:
    """Where the page will be on the technician's port, as the watcher has it before it moves."""
    told = port or {}
    return _place(Kind.PORT, told.get(PortKey.MOVING), told.get(PortKey.INTERFACE))


def _place(kind: Kind, address: object, link: object) -> Place | None:
    try:
        return Place(kind, ipaddress.IPv4Interface(str(address)).ip, str(link)) if link else None
    except ValueError:
        return None
