"""What a USB-Ethernet adapter is, and which one is the technician's port.

An adapter is known by what udev says of the device, never by its name: names change
while it is plugged in, and differ from one system to the next. Pure: what is there comes
from tundev.port.events, and a test can replay it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tundev import config, paths
from vtunlib.errors import printable
from vtunlib.network.kernel import Link

MODEM_DRIVERS = frozenset(
    {"qmi_wwan", "cdc_mbim", "huawei_cdc_ncm", "sierra_net", "hso", "kalmia", "lg-vl600", "ipheth"}
)
"""Drivers in drivers/net/usb of Linux that serve modems and telephones only. Most of them set DEVTYPE=wwan
too, as other drivers do for the modems among their devices."""

_UPLINK = "is this device's uplink"
MODEM_INTERFACES = frozenset({":020201:", ":e00103:"})
"""In ID_USB_INTERFACES, of modems and telephones whose driver may be cdc_ether or rndis_host and say nothing
of that: a serial port that takes AT commands (USB CDC ACM, protocol 1) beside the Ethernet, and RNDIS of the
class for wireless controllers, which is a telephone that shares its connection (Linux, rndis_host.c)."""

_KINDS = {
    "wlan": "is Wi-Fi",
    "wwan": "is a modem",
    "gadget": "is this device's own side of a USB cable",
    "bluetooth": "is Bluetooth",
}
"""What a DEVTYPE says; a driver of Ethernet adapters sets none."""

_ONBOARD = {
    "0424:ec00": re.compile(r"platform-(20|3f)980000\.usb-usb(v\d)?-0:1\.1:1\.0"),
    "0424:7800": re.compile(r"platform-3f980000\.usb-usb(v\d)?-0:1\.1\.1:1\.0"),
}
"""The onboard port of a Raspberry Pi 1 to 3, by USB id and ID_PATH: LAN9512 and LAN9514 of the Pi 1, 2
and 3B, LAN7515 of the 3B+. It is on the first port of the hub below the SoC's own USB controller, which
bcm2835.dtsi puts at 0x20980000 and bcm2836.dtsi, bcm2837.dtsi at 0x3f980000. The same chip elsewhere
is an adapter."""

PRODUCT_LIMIT = 80


@dataclass(frozen=True)
class Device:
    """A network interface as udev tells of it once its rules have run."""

    index: int
    """The kernel's ifindex: it outlives a rename."""
    arrived: int = 0
    """When udev first saw it, in µs since boot; 0 where there is no udev."""
    bus: str = ""
    kind: str = ""
    """DEVTYPE: empty for Ethernet."""
    driver: str = ""
    modem: bool = False
    """Whether its driver or another of its USB interfaces says so."""
    path: str = ""
    usb_id: str = ""
    """`vendor:product`, as in lsusb."""
    product: str = ""
    """What it says it is; printable."""

    @property
    def plug(self) -> tuple[int, int]:
        """The same for as long as it stays plugged in."""
        return self.index, self.arrived


@dataclass(frozen=True)
class Event:
    """What udev did with a device: add, move (renamed), change, remove, and what else there may be."""

    action: str
    device: Device


def device(properties: Mapping[str, str]) -> Device | None:
    """The device with these udev properties; None where udev has not finished with it.

    That is told by USEC_INITIALIZED: the kernel's own events of the same device have none.
    """
    index, arrived = properties.get("IFINDEX", ""), properties.get("USEC_INITIALIZED", "")
    if not (index.isascii() and index.isdigit() and arrived.isascii() and arrived.isdigit()):
        return None
    driver = properties.get("ID_NET_DRIVER", properties.get("ID_USB_DRIVER", ""))
    return Device(
        index=int(index),
        arrived=int(arrived),
        bus=properties.get("ID_BUS", ""),
        kind=properties.get("DEVTYPE", ""),
        driver=driver,
        modem=driver in MODEM_DRIVERS
        or any(one in properties.get("ID_USB_INTERFACES", "") for one in MODEM_INTERFACES),
        path=properties.get("ID_PATH", ""),
        usb_id=f"{properties.get('ID_VENDOR_ID', '')}:{properties.get('ID_MODEL_ID', '')}",
        product=_product(properties),
    )


def _product(properties: Mapping[str, str]) -> str:
    """Vendor and model in words: of udev's database, else of the device's own strings."""
    words = []
    for key in ("ID_VENDOR", "ID_MODEL"):
        known = properties.get(f"{key}_FROM_DATABASE")
        words.append(known or properties.get(key, "").replace("_", " "))
    return printable(" ".join(" ".join(words).split()), PRODUCT_LIMIT)


class Devices:
    """The devices that udev has told of, the first to arrive first.

    Told the same twice, or in another order than it happened, it holds the same in the end.
    """

    def __init__(self) -> None:
        self._known: dict[int, Device] = {}

    def __iter__(self) -> Iterator[Device]:
        return iter(sorted(self._known.values(), key=lambda one: (one.arrived, one.index)))

    def take(self, event: Event) -> None:
        """What an event says."""
        if event.action == "remove":
            self._known.pop(event.device.index, None)
        else:
            self._known[event.device.index] = event.device

    def restart(self, there: Iterable[Device]) -> None:
        """What there is, enumerated: at the start, and when events were lost."""
        self._known = {one.index: one for one in there}

    def keep(self, indexes: Collection[int]) -> None:
        """Forget what the kernel has no link of any more, whatever was told last."""
        self._known = {index: one for index, one in self._known.items() if index in indexes}


@dataclass(frozen=True)
class Adapter:
    """An adapter that is plugged in, as it is now.

    One that was pulled and plugged in again may have the same name, never the same `plug`.
    """

    plug: tuple[int, int]
    """Of its Device."""
    name: str
    mac: str
    driver: str
    product: str
    up: bool
    """Whether the link is switched on (IFF_UP). One that is not has no carrier either, cable or not."""
    carrier: bool
    """Whether a cable is in it and somebody at its other end; only told while `up`."""


@dataclass(frozen=True)
class LeftAlone:
    """An interface that is not for the technician, and why not, as the rest of a sentence."""

    plug: tuple[int, int]
    name: str
    product: str
    reason: str
    plugged: bool
    """Whether it is a USB device that somebody plugged in, so that they may wonder."""


@dataclass(frozen=True)
class Choice:
    """Which adapter is the technician's port, and what became of the others."""

    port: Adapter | None = None
    waiting: tuple[Adapter, ...] = ()
    """Adapters that would do as well, the longest plugged in first."""
    left_alone: tuple[LeftAlone, ...] = ()


@dataclass(frozen=True)
class Network:
    """The kernel's part of the picture: its links, and the indexes of those with a default route."""

    links: Sequence[Link]
    gateways: frozenset[int] = frozenset()


def choose(
    devices: Iterable[Device], network: Network, master: config.Master, former: Choice | None = None
) -> Choice:
    """The port and the rest: what is the port stays it, else the adapter that was plugged in first.

    former: the last choice. What was the uplink then is left alone until it is pulled: an uplink that
    loses its route for a moment must find its interface as it left it.
    """
    former = former or Choice()
    was_uplink = {other.plug for other in former.left_alone if other.reason == _UPLINK}
    links = {link.index: link for link in network.links}
    uplinks = _uplinks(network, master)
    adapters: list[Adapter] = []
    left_alone: list[LeftAlone] = []
    for one in devices:
        link = links.get(one.index)
        if link is None or not link.ethernet:
            continue
        mine = uplinks | {one.index} if one.plug in was_uplink else uplinks
        reason = why_not(one, link, links, mine, master)
        if reason is None:
            adapters.append(_adapter(one, link))
        else:
            plugged = one.bus == "usb" and not _is_onboard(one)
            left_alone.append(LeftAlone(one.plug, link.name, one.product, reason, plugged))
    stays = former.port.plug if former.port is not None else None
    adapters.sort(key=lambda adapter: adapter.plug != stays)
    return Choice(adapters[0] if adapters else None, tuple(adapters[1:]), tuple(left_alone))


def _adapter(one: Device, link: Link) -> Adapter:
    return Adapter(
        plug=one.plug,
        name=link.name,
        mac=link.mac,
        driver=one.driver,
        product=one.product,
        up=link.up,
        carrier=link.carrier,
    )


def why_not(
    one: Device, link: Link, links: Mapping[int, Link], uplinks: Collection[int], master: config.Master
) -> str | None:
    """Why this is no port for the technician, as the rest of a sentence; None where it is one.

    uplinks: indexes of the links that this device's own connections use.
    """
    if master.interface != config.AUTO:
        named = link.name == master.interface
        return None if named else f"is not {master.interface}, which the configuration names"
    if link.index in uplinks:
        return _UPLINK
    if one.modem:
        return _KINDS["wwan"]
    if one.kind:
        return _KINDS.get(one.kind, "is no Ethernet adapter")
    if one.bus != "usb":
        return "is no USB device"
    if _is_onboard(one):
        return "is the onboard port"
    bridge = links.get(link.bridge)
    if bridge and bridge.name != paths.MASTER_BRIDGE:
        return f"is a port of {bridge.name}"
    return None


def _is_onboard(one: Device) -> bool:
    place = _ONBOARD.get(one.usb_id)
    return bool(place and place.fullmatch(one.path))


def _uplinks(network: Network, master: config.Master) -> set[int]:
    """The links with a default route and the one that the configuration names, with what these consist of.

    A VLAN consists of the link that it is on, a bridge or a bond of its ports.
    """
    found = set(network.gateways) | {link.index for link in network.links if link.name == master.uplink}
    while True:
        below = {link.index for link in network.links if link.bridge in found}
        below |= {link.lower for link in network.links if link.index in found and link.lower}
        if below <= found:
            return found
        found |= below
