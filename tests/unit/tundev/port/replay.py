"""Events of network devices, replayed: the kernel's change the links, udev's tell of the devices.

A recording is what `udevadm monitor --kernel --udev --property` prints. A device without a
recording is its properties alone, and `plugged` makes the events of them in the order in which
the kernel (net/core/dev.c) and udev (systemd 252, udev-event.c) send them: the kernel's of the
name that it chose, its rename at udev's wish, then udev's two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tundev import config
from tundev.port.adapters import Choice, Devices, Event, Network, choose, device
from vtunlib.network.kernel import Link

DATA = Path(__file__).parent / "data"
DEVICES = DATA / "devices"

Properties = Mapping[str, str]


@dataclass(frozen=True)
class Told:
    """One event; by: `KERNEL` or `UDEV`."""

    by: str
    properties: Properties


def properties(name: str) -> dict[str, str]:
    """The udev properties in the file of this name."""
    lines = (DEVICES / f"{name}.txt").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def recording(name: str) -> list[Told]:
    """The events in the file of this name; those of other subsystems are in it too."""
    found = []
    for block in re.split(r"\n\s*\n", (DATA / f"{name}.txt").read_text()):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines and (head := re.match(r"(KERNEL|UDEV) *\[", lines[0])):
            found.append(Told(head[1], dict(line.split("=", 1) for line in lines[1:])))
    return found


def plugged(one: Properties, kernel_name: str) -> list[Told]:
    """The events of a device that the kernel first calls `kernel_name`."""
    kernel = {"SUBSYSTEM": "net", "IFINDEX": one["IFINDEX"], "INTERFACE": kernel_name, "ACTION": "add"}
    if "DEVTYPE" in one:
        kernel["DEVTYPE"] = one["DEVTYPE"]
    if one["INTERFACE"] == kernel_name:
        return [Told("KERNEL", kernel), Told("UDEV", {**one, "ACTION": "add"})]
    moved = {**kernel, "INTERFACE": one["INTERFACE"], "ACTION": "move"}
    return [
        Told("KERNEL", kernel),
        Told("KERNEL", moved),
        Told("UDEV", {**one, "INTERFACE_OLD": kernel_name, "ACTION": "add"}),
        Told("UDEV", {**one, "ACTION": "move"}),
    ]


def unplugged(one: Properties) -> list[Told]:
    """The events of the same device when it is pulled."""
    kernel = {
        "SUBSYSTEM": "net",
        "IFINDEX": one["IFINDEX"],
        "INTERFACE": one["INTERFACE"],
        "ACTION": "remove",
    }
    return [Told("KERNEL", kernel), Told("UDEV", {**one, "ACTION": "remove"})]


class Replay:
    """A machine that these events happen on."""

    def __init__(self, master: config.Master | None = None) -> None:
        self.master = master or config.Master()
        self.choice = Choice()
        self.gateway: str | None = None
        self._devices = Devices()
        self._links: dict[int, Link] = {}

    def happen(self, events: Iterable[Told]) -> list[Choice]:
        """The choices after each of these events, those alone that differ from the one before."""
        return [choice for event in events for choice in self._after(event)]

    def cable(self, name: str, carrier: bool, *, up: bool = True) -> Choice:
        """The choice after the link changed."""
        for link in self._links.values():
            if link.name == name:
                self._links[link.index] = replace(link, up=up, carrier=carrier)
        return self.look()

    def uplink(self, name: str | None) -> Choice:
        """The choice after the default route changed."""
        self.gateway = name
        return self.look()

    def look(self) -> Choice:
        """What tundev.port.events does after each ring."""
        self._devices.keep(self._links)
        gateways = frozenset(link.index for link in self._links.values() if link.name == self.gateway)
        network = Network(list(self._links.values()), gateways)
        self.choice = choose(self._devices, network, self.master, self.choice)
        return self.choice

    @property
    def known(self) -> int:
        """How many devices are remembered."""
        return len(list(self._devices))

    def _after(self, event: Told) -> Iterator[Choice]:
        before = self.choice
        if event.properties.get("SUBSYSTEM") != "net":
            return  # the monitor is asked for network devices alone
        if event.by == "KERNEL":
            self._kernel(event.properties)
        elif (one := device(event.properties)) is not None:
            self._devices.take(Event(event.properties["ACTION"], one))
        if self.look() != before:
            yield self.choice

    def _kernel(self, one: Properties) -> None:
        index, name = int(one["IFINDEX"]), one["INTERFACE"]
        if one["ACTION"] == "remove":
            self._links.pop(index, None)
        elif one["ACTION"] == "add":
            self._links[index] = link(index, name)
        elif index in self._links:
            self._links[index] = replace(self._links[index], name=name)


def link(index: int, name: str, **more: Any) -> Link:
    """An Ethernet link that is down."""
    plain = Link(
        index=index,
        name=name,
        up=False,
        carrier=False,
        mtu=1500,
        mac=f"02:00:00:00:00:{index:02x}",
        bridge=0,
        kind="",
        ethernet=True,
        lower=0,
        data={},
        received=0,
        sent=0,
    )
    return replace(plain, **more)
