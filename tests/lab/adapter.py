"""A USB-Ethernet adapter, as near to one as a machine without USB has it.

It is one end of a pair of interfaces: in the machine while it is plugged in, else in the
drawer, a namespace that nobody runs in. Moved, it comes and goes for the machine's kernel and
udev as a device does that is plugged in and pulled; a rule says of it what udev says of USB.
"""

from __future__ import annotations

from tests.lab.host import Host
from tests.lab.machine import Machine

NAMES = ("eth1", "eth2")
"""What adapters are called in a machine. NetworkManager does not see the rule there, so goes by these."""

PRODUCT = "Lab USB-Ethernet"
_RULE = """\
SUBSYSTEM=="net", KERNEL=="{names}", ENV{{ID_BUS}}="usb", ENV{{ID_NET_DRIVER}}="cdc_ether", \\
  ENV{{ID_VENDOR}}="Lab", ENV{{ID_MODEL}}="USB-Ethernet"
"""
_UDEV = ("systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket")


def prepare(machine: Machine) -> None:
    """Have udev run in the machine, though its /sys is read-only; to be done before it boots."""
    for unit in _UDEV:
        machine.copy_in("[Unit]\nConditionPathIsReadWrite=\n", f"/etc/systemd/system/{unit}.d/lab.conf")
    machine.copy_in(_RULE.format(names="|".join(NAMES)), "/etc/udev/rules.d/99-lab.rules")


class Adapter:
    """The adapter called `name`, with the laptop's cable in it."""

    def __init__(self, drawer: Host, name: str, laptop: Host, interface: str) -> None:
        self.name = name
        self._drawer = drawer
        self._laptop = laptop
        self._interface = interface
        self._machine: Machine | None = None
        laptop.ip(
            f"link add {interface} type veth peer name {name} netns {drawer.netns}",
            f"link set {interface} up",
        )

    def plug(self, machine: Machine) -> None:
        """Into the machine, which must run."""
        self._drawer.ip(f"link set {self.name} netns {machine.netns}")
        self._machine = machine

    def pull(self) -> None:
        """Out of the machine; no error where it is out already."""
        if self._machine is not None:
            self._machine.ip(f"link set {self.name} netns {self._drawer.netns}")
            self._machine = None

    def pull_cable(self) -> None:
        """The laptop's end of the cable out of the laptop."""
        self._laptop.ip(f"link set {self._interface} down")

    def put_cable_back(self) -> None:
        """And in again."""
        self._laptop.ip(f"link set {self._interface} up")
