"""Which uplinks a device has, and in which order it prefers them: `[uplink]` of tundev.toml as types.

One connection of NetworkManager is an uplink's: its id is fixed, so that whoever looks
which one is in use knows it by that (`connection`), and its routes' metric follows from the order.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum

from tundev.paths import LAN_BRIDGE
from vtunlib.tunnel import Role

METRIC_STEP = 100
"""Between an uplink's metric and the next one's; the first has as much, as NetworkManager's Ethernet has."""


class Kind(StrEnum):
    """The kinds of uplink, in the order in which they are preferred where nothing is said."""

    ETHERNET = "ethernet"
    WIFI = "wifi"
    MODEM = "modem"


@dataclass(frozen=True)
class Ethernet:
    """[uplink.ethernet]; without address by DHCP; dns stands for what DHCP says; vlan is that of 802.1Q."""

    address: ipaddress.IPv4Interface | None = None
    gateway: ipaddress.IPv4Address | None = None
    dns: tuple[ipaddress.IPv4Address, ...] = ()
    vlan: int | None = None


@dataclass(frozen=True)
class Wifi:
    """[uplink.wifi]; psk is the passphrase, or the key in 64 hexadecimal digits; None: an open network."""

    ssid: str
    psk: str | None = field(default=None, repr=False)
    country: str | None = None
    hidden: bool = False


@dataclass(frozen=True)
class Modem:
    """[uplink.modem]; pin is that of the SIM."""

    apn: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    pin: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Uplink:
    """[uplink]; preferred is its `order`, which need not name all.

    Ethernet is always an uplink; Wi-Fi and the modem are where their table is.
    """

    preferred: tuple[Kind, ...] = ()
    ethernet: Ethernet = Ethernet()
    wifi: Wifi | None = None
    modem: Modem | None = None

    @property
    def order(self) -> tuple[Kind, ...]:
        """Every uplink that this device has, the best one first."""
        absent = {kind for kind in (Kind.WIFI, Kind.MODEM) if getattr(self, kind) is None}
        named = dict.fromkeys((*self.preferred, *Kind))
        return tuple(kind for kind in named if kind not in absent)

    def metric(self, kind: Kind) -> int:
        """That of the routes by this uplink, where nothing has changed it: 100, 200, 300 in `order`."""
        return METRIC_STEP * (self.order.index(kind) + 1)


def connection(kind: Kind, role: Role) -> str:
    """The id of the NetworkManager connection that is this uplink; an onsite's wired one is a bridge."""
    if kind is Kind.ETHERNET and role is Role.ONSITE:
        return LAN_BRIDGE
    return f"tundev-{kind}"
