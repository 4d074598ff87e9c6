"""Tunnel modes, roles, and what a device must know of its leg."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vtunlib.errors import ProtocolError, UsageError

TUNNEL_MTU = 1500
"""Bytes. vtun over TCP is a byte stream, so the ordinary Ethernet MTU passes whole."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_SECRET = re.compile(r"[0-9a-f]{64}")


class TunnelMode(StrEnum):
    """How the RDV joins the two legs of a session."""

    L2 = "L2"
    """Bridged: Ethernet frames, tap devices."""
    L3 = "L3"
    """Routed with NAT: IPv4 packets, tun devices."""

    @classmethod
    def parse(cls, text: str) -> TunnelMode:
        """The mode named `text`. Raises UsageError."""
        try:
            return cls(text)
        except ValueError:
            raise UsageError(f"tunnel mode {text!r} is unknown", "expected L2 or L3") from None


class Role(StrEnum):
    """What a tunnelling device is."""

    ONSITE = "onsite"
    MASTER = "master"


class UplinkType(StrEnum):
    """How a device reaches the RDV, as the shell words it."""

    LAN = "lan"
    WLAN = "wlan"
    MOBILE = "3g"
    OTHER = "other"

    @property
    def bridgeable(self) -> bool:
        """Whether L2 is possible: Wi-Fi stations and modems carry no foreign MAC address."""
        return self is UplinkType.LAN


@dataclass(frozen=True)
class VtunParameters:
    """One leg as `get_vtun_parameters` tells it to the device at its end.

    The leg is a small IPv4 network with the RDV and the device in it.
    tunnel_name is vtun's name of the session, tunnel_secret its password,
    made anew for each leg; tunnel_mtu is in bytes, 576 to 65535.
    """

    tunnel_ip_network: ipaddress.IPv4Address
    tunnel_ip_prefix: int
    tunnelling_dev_ip_address: ipaddress.IPv4Address
    rdv_server_ip_address: ipaddress.IPv4Address
    tunnel_name: str
    tunnel_secret: str
    tunnel_mtu: int = TUNNEL_MTU

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.tunnel_name):
            raise ProtocolError("tunnel_name must be 1 to 31 of a-z, 0-9 and -, a letter first")
        if not _SECRET.fullmatch(self.tunnel_secret):
            raise ProtocolError("tunnel_secret must be 64 hexadecimal digits")
        if not 576 <= self.tunnel_mtu <= 65535:
            raise ProtocolError("tunnel_mtu must be 576 to 65535")
        for address in (self.tunnelling_dev_ip_address, self.rdv_server_ip_address):
            if address not in self.network:
                raise ProtocolError(f"{address} is not in the tunnel's network {self.network}")

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The leg's network."""
        return ipaddress.IPv4Network((self.tunnel_ip_network, self.tunnel_ip_prefix))

    @property
    def device_interface(self) -> ipaddress.IPv4Interface:
        """The device's address with the leg's prefix."""
        return ipaddress.IPv4Interface((self.tunnelling_dev_ip_address, self.tunnel_ip_prefix))

    @property
    def rdv_interface(self) -> ipaddress.IPv4Interface:
        """The RDV's address with the leg's prefix."""
        return ipaddress.IPv4Interface((self.rdv_server_ip_address, self.tunnel_ip_prefix))

    def to_lines(self) -> list[str]:
        """The `key: value` lines of the shell's answer."""
        return [
            f"tunnel_ip_network: {self.tunnel_ip_network}",
            f"tunnel_ip_prefix: {self.tunnel_ip_prefix}",
            f"tunnel_ip_netmask: {self.network.netmask}",
            f"tunnelling_dev_ip_address: {self.tunnelling_dev_ip_address}",
            f"rdv_server_ip_address: {self.rdv_server_ip_address}",
            f"tunnel_name: {self.tunnel_name}",
            f"tunnel_secret: {self.tunnel_secret}",
            f"tunnel_mtu: {self.tunnel_mtu}",
        ]

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> VtunParameters:
        """Parse the answer of `get_vtun_parameters`; unknown keys are passed over.

        Raises ProtocolError on a missing key or a value that is not of its form.
        """
        values = dict(line.split(": ", 1) for line in lines if ": " in line)
        try:
            return cls(
                tunnel_ip_network=ipaddress.IPv4Address(values["tunnel_ip_network"]),
                tunnel_ip_prefix=int(values["tunnel_ip_prefix"]),
                tunnelling_dev_ip_address=ipaddress.IPv4Address(values["tunnelling_dev_ip_address"]),
                rdv_server_ip_address=ipaddress.IPv4Address(values["rdv_server_ip_address"]),
                tunnel_name=values["tunnel_name"],
                tunnel_secret=values["tunnel_secret"],
                tunnel_mtu=int(values["tunnel_mtu"]),
            )
        except KeyError as error:
            raise ProtocolError(f"the RDV's tunnel parameters lack {error.args[0]}") from None
        except ValueError as error:
            raise ProtocolError(f"the RDV's tunnel parameters are malformed: {error}") from None
