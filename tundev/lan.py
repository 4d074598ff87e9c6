"""How this device reaches out: the interface of its default route, told by the kernel as it changes.

Read only; nothing here sets anything up.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tundev import paths
from vtunlib.network import doorbell
from vtunlib.network.kernel import Kernel
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

T = TypeVar("T")


@dataclass(frozen=True)
class Uplink:
    """The interface of the default route and this device's address on it."""

    link: str
    interface: ipaddress.IPv4Interface

    @property
    def bridged(self) -> bool:
        """Whether it is the bridge that an L2 session can be joined to."""
        return self.link == paths.LAN_BRIDGE


@dataclass(frozen=True)
class WayOut:
    """An uplink with its default route; plugged: its cable is in, or the radio's equivalent of it."""

    uplink: Uplink
    metric: int
    plugged: bool


@dataclass(frozen=True)
class Networks:
    """uplink: that the RDV is dialled by; lan: the one that is shown to the other side of a session.

    They differ where the uplink is a modem or Wi-Fi, and a cable leads to a network that does not reach
    the RDV.
    """

    uplink: Uplink | None
    lan: Uplink | None


def watch_networks(wanted: str | None = None, kind: UplinkType | None = None) -> AsyncIterator[Networks]:
    """Yield the networks as they are, then at each change.

    wanted: as in `watch_uplink`; kind: no uplink that is not of this type counts.
    """

    def read(ipr: Any) -> Networks:
        uplink = find_uplink(ipr, wanted)
        if uplink is not None and kind not in (None, uplink_type(uplink.link)):
            uplink = None
        return Networks(uplink, find_bridge(ipr) or uplink)

    return watch(read)


def watch_uplink(wanted: str | None = None) -> AsyncIterator[Uplink | None]:
    """Yield the uplink as it is, then at each change; None while there is none.

    wanted: only this interface, or the bridge that it is a port of.
    """
    return watch(lambda ipr: find_uplink(ipr, wanted))


async def watch(read: Callable[[Any], T]) -> AsyncIterator[T]:
    """Yield what `read` finds of links, addresses and routes, now and at each change of that."""
    from pyroute2 import IPRoute

    bell = doorbell.hang(doorbell.LINK | doorbell.IPV4_ADDRESS | doorbell.IPV4_ROUTE)
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    with bell, IPRoute() as ipr:
        loop.add_reader(bell, rung.set)
        try:
            told: T | None = None
            first = True
            while True:
                rung.clear()
                doorbell.quieten(bell)
                found = read(ipr)
                if first or found != told:
                    first, told = False, found
                    yield found
                await rung.wait()
        finally:
            loop.remove_reader(bell)


def find_uplink(ipr: Any, wanted: str | None = None) -> Uplink | None:
    """The uplink now: the IPv4 default route of the lowest metric whose interface has an address."""
    only = _indexes(ipr, wanted) if wanted is not None else None
    for route in _default_routes(ipr):
        if only is not None and route.get_attr("RTA_OIF") not in only:
            continue
        uplink = _on_link(ipr, route.get_attr("RTA_OIF"), route.get_attr("RTA_PREFSRC"))
        if uplink is not None:
            return uplink
    return None


def find_ways_out(ipr: Any) -> tuple[WayOut, ...]:
    """Every uplink, that of the lowest metric first; each once."""
    found: dict[str, WayOut] = {}
    for route in _default_routes(ipr):
        uplink = _on_link(ipr, route.get_attr("RTA_OIF"), route.get_attr("RTA_PREFSRC"))
        if uplink is not None and uplink.link not in found:
            found[uplink.link] = WayOut(uplink, _metric(route), plugged(ipr, route.get_attr("RTA_OIF")))
    return tuple(found.values())


def find_bridge(ipr: Any) -> Uplink | None:
    """The onsite's bridge where it has an address and its cable is in, uplink or not."""
    for index in ipr.link_lookup(ifname=paths.LAN_BRIDGE):
        if plugged(ipr, index):
            return _on_link(ipr, index, None)
    return None


def plugged(ipr: Any, index: int) -> bool:
    """Whether the link has a carrier; a bridge by its cables, for a session's tap has one too."""
    links = {link["index"]: link for link in Kernel.dumped("links", ipr.get_links)}
    ports = [link for link in links.values() if link.get_attr("IFLA_MASTER") == index]
    cables = [port for port in ports if port.get_attr("IFLA_IFNAME") != paths.LEG]
    return any(bool(link.get_attr("IFLA_CARRIER")) for link in cables or [links.get(index)] if link)


def _default_routes(ipr: Any) -> list[Any]:
    routes = Kernel.dumped("routes", ipr.get_default_routes, family=socket.AF_INET, table=_MAIN_TABLE)
    return sorted((route for route in routes if route.get_attr("RTA_OIF") is not None), key=_metric)


def _metric(route: Any) -> int:
    return int(route.get_attr("RTA_PRIORITY") or 0)


def find_gateway(ipr: Any) -> str:
    """The router of the IPv4 default route of the lowest metric; empty where none is named."""
    return next((str(route.get_attr("RTA_GATEWAY") or "") for route in _default_routes(ipr)), "")


def _indexes(ipr: Any, name: str) -> set[int]:
    """The link named so and the VLANs in it, and the bridge that one of them is a port of."""
    links = Kernel.dumped("links", ipr.get_links)
    found = {link["index"] for link in links if link.get_attr("IFLA_IFNAME") == name}
    found |= {link["index"] for link in links if _is_vlan(link) and link.get_attr("IFLA_LINK") in found}
    masters = {link.get_attr("IFLA_MASTER") for link in links if link["index"] in found}
    return found | (masters - {None})


def _is_vlan(link: Any) -> bool:
    """What IFLA_LINK names is of this network namespace then, which it need not be of others (veth)."""
    info = link.get_attr("IFLA_LINKINFO")
    return info is not None and info.get_attr("IFLA_INFO_KIND") == "vlan"


def _on_link(ipr: Any, index: int, source: str | None) -> Uplink | None:
    for message in Kernel.dumped("addresses", ipr.get_addr, family=socket.AF_INET, index=index):
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
