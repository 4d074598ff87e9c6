"""A support desk: a master in QEMU with USB sockets, and a laptop at the adapters' other ends."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from tests.image.device import DEADLINE, Device, device
from tests.lab.host import delete_netns, wait_until
from tests.lab.lab import Lab
from tests.lab.laptop import INTERFACE, Laptop, Lease
from tests.lab.process import LabError
from tests.lab.topology import topology
from vtunlib.namespace import inside
from vtunlib.tunnel import Role

ACCOUNT = "rpi1301"
SPARE = "spare0"
"""In the laptop's namespace: the other end of the cable of an adapter that the laptop is not in."""


@dataclass(frozen=True)
class Adapter:
    """A USB-Ethernet adapter, and the interface at the other end of its cable."""

    name: str
    mac: str
    cable: str

    @property
    def interface(self) -> str:
        """What udev calls it (systemd.net-naming-scheme(7))."""
        return f"enx{self.mac.replace(':', '')}"


ADAPTERS = (
    Adapter("adapter1", "52:54:00:12:34:01", INTERFACE),
    Adapter("adapter2", "52:54:00:12:34:02", SPARE),
    Adapter("adapter3", "52:54:00:12:34:03", INTERFACE),
)
SWITCH_CONFIGURATION = "echo 2 > $(ls /sys/bus/usb/devices/1-?/bConfigurationValue)"
"""A usb-net's second USB configuration is RNDIS; its first is CDC Ethernet."""


def _frames(interface: str) -> socket.socket:
    """What comes and goes on an interface."""
    every = 3  # linux/if_ether.h: ETH_P_ALL
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(every))
    frames.bind((interface, every))
    frames.settimeout(Desk.PATIENCE)
    return frames


class Desk:
    """`master` runs in the laptop's network namespace."""

    PATIENCE: ClassVar = 240.0
    """Seconds of the host for what takes the guest a few of its own."""

    def __init__(self, master: Device, laptop: Laptop) -> None:
        self.device = master
        self.master = master.guest
        self.laptop = laptop
        self._plugged: list[Adapter] = []

    def plug(self, adapter: Adapter) -> None:
        """Into the master."""
        self.master.plug(adapter.name, adapter.cable, adapter.mac)
        self._plugged.append(adapter)

    def plug_for_lease(self, adapter: Adapter) -> tuple[Lease, float]:
        """Plug it in: the lease that the laptop's first question is answered with, and after how long.

        In seconds by the master's clock, from the plug until dnsmasq said that it gave the lease.
        """
        with inside(self.laptop.netns, _frames, adapter.cable) as frames:
            plugged = self.master.clock()
            self.plug(adapter)
            # A tap has a carrier at once, an adapter's cable only when its driver runs: what the driver
            # sends first tells of it. What is sent to it before that, QEMU loses.
            while frames.recvfrom(2048)[1][2] == socket.PACKET_OUTGOING:
                pass
        lease = self.laptop.dhcp(once=True, deadline=self.PATIENCE)
        argv = ["journalctl", "--boot", "--output=json", "--unit=tundev-dhcp@*", "--grep=DHCPACK"]
        entries = [json.loads(line) for line in self.master.run(argv).out.splitlines()]
        given = [int(entry["__REALTIME_TIMESTAMP"]) / 1e6 for entry in entries]
        return lease, min(time for time in given if time > plugged) - plugged

    def unplug(self, adapter: Adapter) -> None:
        """Out of it, with the cable in it."""
        self.master.unplug(adapter.name)
        self._plugged.remove(adapter)

    def unplug_all(self) -> None:
        """Whatever is plugged in still."""
        for adapter in tuple(self._plugged):
            self.unplug(adapter)

    def move_cable(self) -> None:
        """The laptop into the adapter that it was not in; the two are the same to it afterwards."""
        self.laptop.ip(
            f"link set {INTERFACE} down",
            f"link set {SPARE} down",
            f"link set {INTERFACE} name former",
            f"link set {SPARE} name {INTERFACE}",
            f"link set former name {SPARE}",
            f"link set {SPARE} up",
            f"link set {INTERFACE} up",
        )

    @contextmanager
    def session(self, onsite: str, mode: str) -> Iterator[None]:
        """A session with that account.

        The RDV gives one 30 s of its own clock to come up, in which a busy machine emulates few of the
        devices' own: then it is asked for again.
        """
        connect = ["masterdev", "connect", onsite, "-m", mode, "--detach"]
        tried = []

        def connected() -> bool:
            tried.append(self.master.run(connect, check=False))
            return tried[-1].code == 0

        try:
            wait_until(connected, what=f"a session: {connect}", deadline=DEADLINE, every=1.0)
        except LabError as error:
            raise LabError(f"{error}; {tried[-1].err}") from None
        try:
            yield
        finally:
            self.master.run(["masterdev", "disconnect"], check=False)

    def port(self) -> dict[str, Any]:
        """The technician's port, as its service tells of it."""
        return Lab.port(self.master)

    def waits_for(self, wanted: Callable[[dict[str, Any]], bool], *, what: str) -> dict[str, Any]:
        """The port, once it is so; LabError with what it was and the master's journal if it never is."""
        told: dict[str, Any] = {}

        def so() -> bool:
            told.clear()
            told.update(self.port())
            return wanted(told)

        try:
            wait_until(so, what=what, deadline=self.PATIENCE, every=0.3)
        except LabError as error:
            journal = self.master.run(["journalctl", "--boot", "--quiet", "--lines=60"], check=False).out
            raise LabError(f"{error}; it is {told}\n{journal}") from None
        return told

    def becomes(self, state: str) -> dict[str, Any]:
        """The port, once it is in that state."""
        return self.waits_for(lambda port: port.get("state") == state, what=f"the port is {state}")


@contextmanager
def desk_of(lab: Lab, folder: Path) -> Iterator[Desk]:
    """A desk on the first support LAN of the lab, its master switched off; `folder` is for the card."""
    laptop = Laptop(lab.place, "technician")
    laptop.create()
    for cable in (INTERFACE, SPARE):
        laptop.ip(f"tuntap add dev {cable} mode tap", f"link set {cable} up")
    uplink = lab.switches[lab.plan.desks[0].lan.name]
    try:
        with device(lab, Role.MASTER, ACCOUNT, uplink, laptop, folder) as master:
            yield Desk(master, laptop)
    finally:
        laptop.end_programs()
        delete_netns([laptop.netns])


@contextmanager
def desk_alone(name: str) -> Iterator[Desk]:
    """A desk whose master has booted, in a lab of that name with nobody else but the RDV."""
    with Lab(topology(sites=0), name=name) as lab, TemporaryDirectory() as folder:
        lab.install()
        lab.build()
        lab.start_rdv()
        with desk_of(lab, Path(folder)) as desk:
            desk.device.boot()
            yield desk
