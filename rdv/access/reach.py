"""How far a rule lets a master reach beyond the onsite: text to types, and back. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

FORM = '"192.168.1.50", "192.168.1.0/24", "192.168.1.50 443/tcp", "192.168.1.50 8000-8080/tcp"'

_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?/(tcp|udp)")
_ICMP = "icmp"


class Scope(StrEnum):
    """The kinds of reach."""

    LAN = "lan"
    """The network that the onsite has its LAN address in."""
    ALL = "all"
    """Whatever the onsite can reach."""
    LIST = "list"
    """What is listed, and nothing else."""


@dataclass(frozen=True)
class Destination:
    """One entry of a list. protocol: tcp, udp, icmp, or empty for all; ports: the first and the last."""

    network: ipaddress.IPv4Network
    protocol: str = ""
    ports: tuple[int, int] | None = None

    def __str__(self) -> str:
        single = self.network.prefixlen == self.network.max_prefixlen
        address = str(self.network.network_address if single else self.network)
        if self.ports is None:
            return f"{address} {self.protocol}".rstrip()
        return f"{address} {self.port_range}/{self.protocol}"

    @property
    def port_range(self) -> str:
        """The ports as nftables has them, too: `443` or `8000-8080`."""
        first, last = self.ports or (0, 65535)
        return str(first) if first == last else f"{first}-{last}"


@dataclass(frozen=True)
class Reach:
    """What may be reached. destinations: of Scope.LIST only."""

    scope: Scope
    destinations: tuple[Destination, ...] = ()

    def __str__(self) -> str:
        return ", ".join(map(str, self.destinations)) or str(self.scope)

    def value(self) -> str | list[str]:
        """As it stands in the file; `parse` reads it back."""
        return [str(one) for one in self.destinations] or str(self.scope)


LAN = Reach(Scope.LAN)
ALL = Reach(Scope.ALL)


def parse(value: object) -> Reach:
    """The reach that the admin wrote. ValueError tells what was expected."""
    if value in (Scope.LAN, Scope.ALL):
        return Reach(Scope(str(value)))
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        raise ValueError(f'"lan", "all", or a list of what may be reached, as in {FORM}')
    return Reach(Scope.LIST, tuple(map(_destination, value)))


def _destination(text: str) -> Destination:
    address, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    try:
        network = ipaddress.IPv4Network(address)
    except ValueError as error:
        # Host bits, above all: 192.168.1.50/24 is a host or a network, and the admin says which.
        raise _wrong(text, f"{error}") from None
    if not rest or rest == _ICMP:
        return Destination(network, rest)
    found = _PORTS.fullmatch(rest)
    if found is None:
        raise _wrong(text, f"{rest!r} is neither PORT/tcp, PORT/udp, FIRST-LAST/tcp nor icmp")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 < first <= last <= 65535:
        raise _wrong(text, f"{rest!r} are no ports")
    return Destination(network, found[3], (first, last))


def _wrong(text: str, why: str) -> ValueError:
    return ValueError(f"as in {FORM}; in {text!r}: {why}")
