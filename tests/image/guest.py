"""A machine in QEMU: booted, asked, given things and taken them away, gone at the end of the block.

Its clock. With `-icount` QEMU counts a fixed time for each instruction, so a second of the
guest is the same work on an idle host and on a busy one, where none of its own deadlines comes
sooner. While the guest has nothing to do its clock goes with the host's, as the clock of
whoever it waits for does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tests.image.agent import DEADLINE, PORT, Agent
from tests.image.card import Disk
from tests.image.channel import Channel, Message, Port
from tests.image.monitor import Monitor
from tests.lab.host import Host, Switch
from tests.lab.process import LabError, Program, Result

BOOT_DEADLINE = 400.0
CONNECT_DEADLINE = 20.0
MEMORY = "1G"
CPU = "cortex-a72"
"""That of a Pi 4."""
INSTRUCTION_SHIFT = 0
"""An instruction takes 2^0 ns: a thousand million a second on the one core, which stands for the four of a
board. Those of a Pi 3 do twice as much together."""

# QEMU's usb-net has the USB id of a gadget that cdc_subset serves too, which has no MAC address of its own
# and so no name by it. Left out, cdc_ether serves it, as it does real adapters of its class.
_DRIVERS = "modprobe.blacklist=cdc_subset"


class Guest:
    """`host` is whose network namespace QEMU runs in: its tap devices are what adapters are wired to.

    Its uplink is a port of the switch; without one it is QEMU's own, with DHCP and a router, and beyond
    that is what the namespace reaches. `more` are words of QEMU's for what else the machine has, or has
    otherwise.
    """

    def __init__(
        self,
        name: str,
        host: Host,
        disk: Disk,
        folder: Path,
        *,
        uplink: Switch | None = None,
        more: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._host = host
        self._disk = disk
        self._folder = folder
        self._uplink = uplink
        self._more = more
        self._console = folder / "console.log"
        self.monitor: Monitor
        self._agent: Agent
        self._qemu: Program | None = None
        self._open = ExitStack()

    def _argv(self, monitor: Port, agent: Port) -> list[str]:
        return [
            *("qemu-system-aarch64", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-machine", "virt", "-cpu", CPU, "-m", MEMORY, "-smp", "1"),
            *("-accel", "tcg", "-icount", f"shift={INSTRUCTION_SHIFT},sleep=on"),
            *("-kernel", str(self._disk.kernel), "-initrd", str(self._disk.initrd)),
            *("-append", self._command_line()),
            *("-serial", f"file:{self._console}", "-S"),
            *("-qmp", f"unix:{monitor.path}"),
            *("-chardev", f"socket,id=agent,path={agent.path}", "-device", "virtio-serial-pci"),
            # QEMU tells events of a port that has an id, and of no other.
            *("-device", f"virtserialport,id=agent,chardev=agent,name={PORT}"),
            *("-drive", f"if=none,id=root,{self._disk.drive}"),
            *("-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci"),
            *("-netdev", f"{self._cable()},id=uplink"),
            *("-device", "virtio-net-pci,netdev=uplink,romfile="),
            *("-device", "qemu-xhci,id=usb"),
            *self._more,
        ]

    def _cable(self) -> str:
        # A tap of QEMU's own making, which goes with it.
        return f"tap,ifname={self.name},script=no,downscript=no" if self._uplink else "user"

    def _command_line(self) -> str:
        return f"{self._disk.command_line} console=ttyAMA0 quiet {_DRIVERS}"

    def boot(self, *, deadline: float = BOOT_DEADLINE) -> list[str]:
        """Start it; the units that failed, once systemd in it says that the boot is over."""
        until = time.monotonic() + deadline
        self.power_on()
        return self.wait_booted(until - time.monotonic())

    def power_on(self) -> None:
        """Start it, and wait for nothing."""
        monitor = Port(self._folder / "monitor", "QEMU's monitor")
        agent = Port(self._folder / "agent", f"{self.name}'s guest agent")
        try:
            self._qemu = self._host.start(self._argv(monitor, agent))
            self.monitor = Monitor(self._accept(monitor))
            self._agent = Agent(self._accept(agent), self.name)
            if self._uplink:
                self._uplink.take(self._host, self.name)
            self.monitor.command("cont")
        except LabError as error:
            raise self._not_booted(error) from None
        finally:
            monitor.close()
            agent.close()

    def wait_booted(self, deadline: float = BOOT_DEADLINE) -> list[str]:
        """Until systemd in it says that the boot is over, after power_on or a reset; the failed units."""
        until = time.monotonic() + deadline
        try:
            self.monitor.wait_event(_port_opened, what="the guest agent runs", deadline=deadline)
            self._agent.greet(until - time.monotonic())
            left = until - time.monotonic()
            self.run(["systemctl", "is-system-running", "--wait"], deadline=left, check=False)
        except LabError as error:
            raise self._not_booted(error) from None
        return self.failed_units()

    def _not_booted(self, error: LabError) -> LabError:
        said = self._qemu.text if self._qemu else ""
        return LabError(f"{self.name} did not boot: {error}\n{said}\n{self.console_tail()}")

    def _accept(self, port: Port) -> Channel:
        channel = port.accept(CONNECT_DEADLINE)
        self._open.callback(channel.close)
        return channel

    def run(
        self, argv: Sequence[str], *, deadline: float = DEADLINE, stdin: str | None = None, check: bool = True
    ) -> Result:
        """Run a command in it to its end; LabError on a non-zero exit code unless check is False."""
        return self._agent.run(argv, deadline=deadline, stdin=stdin, check=check)

    def failed_units(self) -> list[str]:
        """Names of its units in state `failed`."""
        listed = self.run(["systemctl", "--failed", "--plain", "--no-legend", "--full"]).out
        return [line.split()[0] for line in listed.splitlines()]

    def console_tail(self, lines: int = 25) -> str:
        """The end of what it wrote to its console."""
        if not self._console.exists():
            return ""
        return "\n".join(self._console.read_text(errors="replace").splitlines()[-lines:])

    def clock(self) -> float:
        """What its clock says now; seconds since the epoch."""
        return self._agent.clock()

    def plug(self, adapter: str, tap: str, mac: str) -> None:
        """Plug a USB-Ethernet adapter in whose cable leads to the tap device of the host."""
        self.monitor.command(
            "netdev_add", type="tap", id=f"{adapter}-cable", ifname=tap, script="no", downscript="no"
        )
        self.monitor.command("device_add", driver="usb-net", id=adapter, netdev=f"{adapter}-cable", mac=mac)

    def unplug(self, adapter: str) -> None:
        """Pull it out."""

        def gone(event: Message) -> bool:
            return bool(event["event"] == "DEVICE_DELETED" and event["data"].get("device") == adapter)

        del self.monitor.events[:]
        self.monitor.command("device_del", id=adapter)
        self.monitor.wait_event(gone, what=f"{adapter} is out")
        self.monitor.command("netdev_del", id=f"{adapter}-cable")

    def stop(self) -> None:
        """As if its power were cut; it may have ended already."""
        if self._qemu:
            self._qemu.kill()
            self._qemu = None
        self._open.close()

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _port_opened(event: Message) -> bool:
    """Whether it tells that somebody in the guest has opened the agent's port."""
    return bool(event["event"] == "VSERPORT_CHANGE" and event["data"]["open"])
