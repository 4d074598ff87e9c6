"""What a device tells of itself, parsed once here and refused with the form that was expected."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from rdv.contract import Fact
from vtunlib.errors import UsageError
from vtunlib.tunnel import Role, TunnelMode, UplinkType

TEXT_LIMIT = 200
"""Characters of a hostname, version, location or reason."""
DNS_LIMIT = 8
"""DNS servers of a LAN."""

_ROLES = {
    Fact.UPLINK: Role.ONSITE,
    Fact.LOCATION: Role.ONSITE,
    Fact.MODE: Role.MASTER,
}


@dataclass(frozen=True)
class Facts:
    """What one device has told; None or empty is what it has not told yet."""

    lan: ipaddress.IPv4Interface | None = None
    dns: tuple[ipaddress.IPv4Address, ...] = ()
    hostname: str = ""
    version: str = ""
    uplink: UplinkType | None = None
    location: str = ""
    mode: TunnelMode | None = None

    def told(self, role: Role, fact: str, text: str) -> Facts:
        """These facts with what a device of `role` now tells. Raises UsageError."""
        try:
            name = Fact(fact)
        except ValueError:
            raise UsageError(f"{fact!r} is nothing that a device tells") from None
        if _ROLES.get(name, role) is not role:
            raise UsageError(f"the {name} is not for a device of role {role}")
        match name:
            case Fact.LAN:
                return replace(self, lan=lan_address(text))
            case Fact.DNS:
                return replace(self, dns=dns_servers(text))
            case Fact.HOSTNAME:
                return replace(self, hostname=short_text(text, "hostname"))
            case Fact.VERSION:
                return replace(self, version=short_text(text, "version"))
            case Fact.UPLINK:
                return replace(self, uplink=uplink_type(text))
            case Fact.LOCATION:
                return replace(self, location=short_text(text, "location"))
            case Fact.MODE:
                return replace(self, mode=TunnelMode.parse(text))


def short_text(text: str, what: str) -> str:
    """`text` if it is printable and of at most TEXT_LIMIT characters. Raises UsageError."""
    if len(text) > TEXT_LIMIT or not text.isprintable():
        raise UsageError(f"the {what} must be at most {TEXT_LIMIT} printable characters")
    return text


def lan_address(text: str) -> ipaddress.IPv4Interface:
    """An address that a host can have on a LAN, with its prefix. Raises UsageError."""
    form = "expected address/prefix, as in 192.168.1.2/24"
    try:
        address = ipaddress.IPv4Interface(text)
    except ValueError:
        raise UsageError(f"{text!r} is no IPv4 address with a prefix", form) from None
    if "/" not in text or not _is_host(address.ip) or address.network.prefixlen < 8:
        raise UsageError(f"{text!r} is no host's address on a LAN", form)
    if address.network.prefixlen < 31 and address.ip in (
        address.network.network_address,
        address.network.broadcast_address,
    ):
        raise UsageError(f"{text!r} is a network's own address", form)
    return address


def dns_servers(text: str) -> tuple[ipaddress.IPv4Address, ...]:
    """Addresses separated by spaces, none to DNS_LIMIT of them. Raises UsageError."""
    words = text.split()
    if len(words) > DNS_LIMIT:
        raise UsageError(f"more than {DNS_LIMIT} DNS servers")
    servers = []
    for word in words:
        try:
            server = ipaddress.IPv4Address(word)
        except ValueError:
            server = None
        if server is None or not _is_host(server):
            raise UsageError(
                f"{word!r} is no address of a DNS server", "expected addresses, as in 192.168.1.1 8.8.8.8"
            )
        servers.append(server)
    return tuple(servers)


def uplink_type(text: str) -> UplinkType:
    """The uplink type of that name. Raises UsageError."""
    try:
        return UplinkType(text)
    except ValueError:
        known = "|".join(UplinkType)
        raise UsageError(f"uplink type {text!r} is unknown", f"expected {known}") from None


def _is_host(address: ipaddress.IPv4Address) -> bool:
    """Whether the address can be a host's; the ranges are those of RFC 6890."""
    return not (
        address.is_loopback
        or address.is_multicast
        or address in ipaddress.IPv4Network("0.0.0.0/8")
        or address in ipaddress.IPv4Network("240.0.0.0/4")
    )
