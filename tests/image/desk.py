"""A support desk: a master in QEMU with USB sockets, and a laptop at the adapters' other ends."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from tests.image.disk import disk_of
from tests.image.guest import Guest
from tests.lab.clean import clean
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.laptop import INTERFACE, Laptop, Lease
from tests.lab.place import Place
from tests.lab.process import LabError
from tests.lab.roles import DIST, Role
from vtunlib.namespace import inside

MASTER = "master"
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

SERVICES = ("tundev-uplink@master", "secondary-if-watcher", "masterdev", "masterdev-web")

# Nothing answers at TEST-NET-1 (RFC 5737): the desk's uplink leads nowhere.
_CONFIGURATION = """\
[rdv]
server = "192.0.2.1"
account = "rpi1200"
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"
"""


def _frames(interface: str) -> socket.socket:
    """What comes and goes on an interface."""
    every = 3  # linux/if_ether.h: ETH_P_ALL
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(every))
    frames.bind((interface, every))
    frames.settimeout(Desk.PATIENCE)
    return frames


class Desk:
    """In use from `boot` to the end of the block."""

    PATIENCE: ClassVar = 120.0
    """Seconds of the host for what takes the guest a few of its own."""

    laptop: Laptop
    master: Guest

    def __init__(self, name: str, dist: Path = DIST) -> None:
        self._name = name
        self._dist = dist
        self._undo = ExitStack()
        self._plugged: list[Adapter] = []

    def __enter__(self) -> Desk:
        disk = disk_of(Role.MASTER, self._dist)
        with ExitStack() as undo:
            place = undo.enter_context(Place(self._name))
            clean(place)  # what an interrupted desk of this name left
            undo.callback(clean, place)
            place.mount()
            self.laptop = Laptop(place, "laptop")
            self.laptop.create()
            undo.callback(self.laptop.end_programs)
            for cable in (INTERFACE, SPARE):
                self.laptop.ip(f"tuntap add dev {cable} mode tap", f"link set {cable} up")
            folder = place.path / MASTER
            folder.mkdir()
            self.master = undo.enter_context(Guest(MASTER, self.laptop, disk, folder))
            self._undo = undo.pop_all()
        return self

    def boot(self) -> list[str]:
        """Boot the master and configure it as a field engineer does; the units that failed."""
        self.master.boot()
        configure = "umask 027; cat > /etc/tundev/tundev.toml; chgrp tundev /etc/tundev/tundev.toml"
        self.master.run(["sh", "-c", configure], stdin=_CONFIGURATION)
        self.master.run(["systemctl", "restart", *SERVICES])
        return self.master.failed_units()

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()
