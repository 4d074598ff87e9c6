"""The choice of the two legs' networks; pure.

Each session has a namespace of its own, so sessions may share one choice: what
it must not clash with is what the two devices are attached to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from vtunlib.errors import SessionFailed

CANDIDATES = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        # At the far ends of the private ranges (RFC 1918), where LANs seldom are, and last in the
        # range for measurements (RFC 2544), where none should be.
        "172.31.255.240/29",
        "10.255.255.240/29",
        "192.168.254.240/29",
        "198.19.255.240/29",
    )
)


@dataclass(frozen=True)
class LegNetwork:
    """A /30 with the RDV as its first host and the device as its second."""

    network: ipaddress.IPv4Network

    @property
    def rdv(self) -> ipaddress.IPv4Address:
        """The RDV's address."""
        return self.network.network_address + 1

    @property
    def device(self) -> ipaddress.IPv4Address:
        """The device's address."""
        return self.network.network_address + 2


def host(address: ipaddress.IPv4Address) -> ipaddress.IPv4Network:
    """The network of this one address."""
    return ipaddress.IPv4Network(address)


def choose(taken: Iterable[ipaddress.IPv4Network]) -> tuple[LegNetwork, LegNetwork]:
    """The onsite's and the master's leg: the halves of the first candidate that clashes with nothing.

    Raises SessionFailed where all candidates clash.
    """
    networks = list(taken)
    for candidate in CANDIDATES:
        if not any(candidate.overlaps(network) for network in networks):
            onsite, master = candidate.subnets(new_prefix=30)
            return LegNetwork(onsite), LegNetwork(master)
    raise SessionFailed(
        "no network is left for the session's legs: the devices' networks "
        + ", ".join(map(str, networks))
        + " take them all"
    )
