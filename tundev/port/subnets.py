"""The choice of the laptop's subnet; pure.

It clashes where an address in it means something else already: on a network of this
device, which would lose it, or at the customer's, where the laptop could not reach it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from vtunlib.errors import SessionFailed

OTHERS = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        # In the middle of the private ranges (RFC 1918), where LANs seldom are: they begin at the ends.
        # At the very ends the RDV chooses the networks of the legs.
        "172.29.38.224/29",
        "10.213.38.224/29",
        "192.168.213.224/29",
        "172.22.138.224/29",
        "10.138.138.224/29",
    )
)
"""Where the laptop goes when the configured subnet clashes, in this order."""


@dataclass(frozen=True)
class Taken:
    """A network that the laptop's may not touch; what: as in `the uplink's network`."""

    network: ipaddress.IPv4Network
    what: str

    def __str__(self) -> str:
        return f"{self.what}, {self.network}"


@dataclass(frozen=True)
class Subnet:
    """The laptop's network; moved: what the configured one clashes with, empty where it is that one."""

    network: ipaddress.IPv4Network
    moved: str = ""

    @property
    def address(self) -> ipaddress.IPv4Interface:
        """This device's address in it: the first."""
        return ipaddress.IPv4Interface((self.network[1], self.network.prefixlen))


def choose(
    configured: ipaddress.IPv4Network, taken: Iterable[Taken], current: Subnet | None = None
) -> Subnet:
    """The subnet: `current` as long as it clashes with nothing, else the configured one, else another.

    The same clash gives the same choice each time. Raises SessionFailed where all clash.
    """
    others = list(taken)
    if current is not None and _clash(current.network, others) is None:
        return current
    clash = _clash(configured, others)
    if clash is None:
        return Subnet(configured)
    for candidate in OTHERS:
        if _clash(candidate, others) is None:
            return Subnet(candidate, f"{configured} clashes with {clash}")
    raise SessionFailed(
        f"no subnet is left for the laptop: {configured} clashes with {clash}",
        "set extremity_subnet in [master] of /etc/tundev/tundev.toml",
    )


def _clash(network: ipaddress.IPv4Network, taken: list[Taken]) -> Taken | None:
    return next((one for one in taken if one.network.overlaps(network)), None)


def of_customer(lan: ipaddress.IPv4Network | None, servers: Iterable[ipaddress.IPv4Address]) -> list[Taken]:
    """What a session's customer has."""
    found = [] if lan is None else [Taken(lan, "the customer's LAN")]
    return found + [Taken(ipaddress.IPv4Network(server), "the customer's DNS server") for server in servers]
