"""How this device reaches out: the interface of its default route, told by the kernel as it changes.

Read only; nothing here sets anything up.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tundev import paths
from vtunlib.network import doorbell
from vtunlib.tunnel import UplinkType

_MAIN_TABLE = 254
_SCOPE_GLOBAL = 0

_SYSFS = Path("/sys/class/net")
_ARPHRD_ETHER = 1

RESOLVERS = (
    Path("/etc/resolv.conf"),
    Path("/run/NetworkManager/no-stub-resolv.conf"),
    Path("/run/systemd/resolve/resolv.conf"),
)
"""Read in this order until one names a server that is not on this device itself."""

DNS_LIMIT = 8


@dataclass(frozen=True)
class Uplink:
    """The interface of the default route and this device's address on it."""

    link: str
    interface: ipaddress.IPv4Interface

    @property
    def bridged(self) -> bool:
        """Whether it is the bridge that an L2 session can be joined to."""
        return self.link == paths.LAN_BRIDGE


async def watch_uplink(wanted: str | None = None) -> AsyncIterator[Uplink | None]:
    """Yield the uplink as it is, then at each change; None while there is none.

    wanted: only this interface, or the bridge that it is a port of.
    """
    from pyroute2 import IPRoute

    bell = doorbell.hang(doorbell.LINK | doorbell.IPV4_ADDRESS | doorbell.IPV4_ROUTE)
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    with bell, IPRoute() as ipr:
        loop.add_reader(bell, rung.set)
        try:
            told: Uplink | None = None
            first = True
            while True:
                rung.clear()
                doorbell.quieten(bell)
                uplink = find_uplink(ipr, wanted)
                if first or uplink != told:
                    first, told = False, uplink
                    yield uplink
                await rung.wait()
        finally:
            loop.remove_reader(bell)


def find_uplink(ipr: Any, wanted: str | None = None) -> Uplink | None:
    """The uplink now: the IPv4 default route of the lowest metric whose interface has an address."""
    only = _indexes(ipr, wanted) if wanted is not None else None
    routes = [
        route
        for route in ipr.get_default_routes(family=socket.AF_INET, table=_MAIN_TABLE)
        if route.get_attr("RTA_OIF") is not None and (only is None or route.get_attr("RTA_OIF") in only)
    ]
    for route in sorted(routes, key=lambda route: int(route.get_attr("RTA_PRIORITY") or 0)):
        uplink = _on_link(ipr, route.get_attr("RTA_OIF"), route.get_attr("RTA_PREFSRC"))
        if uplink is not None:
            return uplink
    return None


def find_gateway(ipr: Any) -> str:
    """The router of the IPv4 default route of the lowest metric; empty where none is named."""
    routes = ipr.get_default_routes(family=socket.AF_INET, table=_MAIN_TABLE)
    for route in sorted(routes, key=lambda route: int(route.get_attr("RTA_PRIORITY") or 0)):
        return str(route.get_attr("RTA_GATEWAY") or "")
    return ""


def _indexes(ipr: Any, name: str) -> set[int]:
    """The index of the link named so, and of the bridge it is a port of."""
    for link in ipr.link_lookup(ifname=name):
        message = ipr.link("get", index=link)[0]
        return {link, message.get_attr("IFLA_MASTER") or link}
    return set()


def _on_link(ipr: Any, index: int, source: str | None) -> Uplink | None:
    for message in ipr.get_addr(family=socket.AF_INET, index=index):
        address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if message["scope"] != _SCOPE_GLOBAL or (source is not None and address != source):
            continue
        try:
            link = ipr.link("get", index=index)[0].get_attr("IFLA_IFNAME")
        except Exception:  # pyroute2's own, of any kind: the link went away between two questions
            return None
        return Uplink(link, ipaddress.IPv4Interface(f"{address}/{message['prefixlen']}"))
    return None


def uplink_type(link: str, sysfs: Path = _SYSFS) -> UplinkType:
    """What kind of network the interface leads to, by what sysfs tells of it."""
    device = sysfs / link
    try:
        kind = int((device / "type").read_text())
        properties = (device / "uevent").read_text().splitlines()
    except (OSError, ValueError):
        return UplinkType.OTHER
    if "DEVTYPE=wlan" in properties or (device / "phy80211").exists() or (device / "wireless").exists():
        return UplinkType.WLAN
    if "DEVTYPE=wwan" in properties or re.match(r"(ppp|wwan|wwp)", link):
        return UplinkType.MOBILE
    return UplinkType.LAN if kind == _ARPHRD_ETHER else UplinkType.OTHER


def dns_servers(resolvers: tuple[Path, ...] = RESOLVERS) -> list[ipaddress.IPv4Address]:
    """The DNS servers of the network, without a stub on this device itself; may be empty."""
    for path in resolvers:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        servers = []
        for word in re.findall(r"^\s*nameserver\s+(\S+)", text, re.MULTILINE):
            try:
                address = ipaddress.IPv4Address(word)
            except ValueError:
                continue
            if not (address.is_loopback or address.is_unspecified or address in servers):
                servers.append(address)
        if servers:
            return servers[:DNS_LIMIT]
    return []
