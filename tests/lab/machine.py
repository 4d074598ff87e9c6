"""A machine of the lab: a Debian with its own systemd, bus and journal, in systemd-nspawn.

Its root is an overlay: the cached base root below (with a role's layer between, where
packages are installed), the machine's own writes above in the lab's tmpfs. Its network
namespace with all its wires exists before it boots, as on a real machine.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab import cgroup
from tests.lab.host import Host, in_netns, kill_netns, netns_pids
from tests.lab.place import Place
from tests.lab.process import LabError, environment, run

BOOT_DEADLINE = 60.0
STOP_DEADLINE = 60.0
_REBOOT_STATUS = 133
"""Of systemd-nspawn with --keep-unit: who started it is to start it again."""


class Machine(Host):
    """Boots, runs commands, stops.

    `layers`: lower directories, the uppermost first; `binds`: options of systemd-nspawn.
    """

    def __init__(self, place: Place, name: str, layers: Sequence[Path], *, binds: Sequence[str] = ()) -> None:
        super().__init__(place, name)
        self.layers = list(layers)
        self.binds = list(binds)
        self.root = self.path / "root"
        self.upper = self.path / "upper"
        self.console = self.path / "console.log"
        self._notify = self.path / "notify"
        self._leader: int | None = None
        self._front: subprocess.Popen[bytes] | None = None
        self._unplugged: list[str] = []

    def create(self) -> None:
        """Namespace and root; boots nothing yet. Files may be put under `self.root` now."""
        super().create()
        self.root.mkdir(mode=0o755)
        self.lay_root()
        (self.root / "etc/hostname").write_text(f"{self.name}\n", encoding="ascii")
        (self.root / "etc/hosts").write_text(
            f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n", encoding="ascii"
        )

    def lay_root(self) -> None:
        """Mount the root: the layers, and above them nothing yet."""
        work = self.path / "work"
        for directory in (self.upper, work):
            directory.mkdir(mode=0o755)
        lower = ":".join(str(layer) for layer in self.layers)
        options = f"lowerdir={lower},upperdir={self.upper},workdir={work}"
        run(["mount", "-t", "overlay", "-o", options, self.netns, str(self.root)])

    def _argv(self) -> list[str]:
        return cgroup.within(
            self.netns,
            [
                "systemd-nspawn",
                "--boot",
                "--quiet",
                "--register=no",
                "--keep-unit",
                "--notify-ready=yes",
                f"--machine={self.netns}",
                f"--hostname={self.name}",
                f"--directory={self.root}",
                f"--network-namespace-path=/run/netns/{self.netns}",
                "--capability=CAP_NET_ADMIN",
                "--bind=/dev/net/tun",
                "--resolv-conf=off",
                "--timezone=off",
                "--link-journal=no",
                "--console=read-only",
                *self.binds,
            ],
        )

    @contextmanager
    def _switched_on(self) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
        """Start it; what systemd inside says is read from the socket meanwhile."""
        self._notify.unlink(missing_ok=True)
        self.ip(*(f"link set {link} up" for link in self._unplugged))
        self._unplugged = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, self.console.open("ab") as console:
            notify.bind(str(self._notify))
            self._front = subprocess.Popen(
                self._argv(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                # Without it /proc/sys/net is read-only when the namespace comes from outside.
                env=environment(
                    {"NOTIFY_SOCKET": str(self._notify), "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
                ),
            )
            yield notify, self._front

    def boot(self, *, deadline: float = BOOT_DEADLINE) -> list[str]:
        """Start it; the units that failed, once systemd inside says that the boot is over."""
        until = time.monotonic() + deadline
        with self._switched_on() as (notify, front):
            self._await_ready(notify, front, until)
        self.run(["systemctl", "is-system-running", "--wait"], deadline=until - time.monotonic(), check=False)
        return self.failed_units()

    def boot_until_it_reboots(self, *, deadline: float) -> None:
        """Start it, and wait until it is off again, having asked to be started anew. Nothing is run in it."""
        with self._switched_on() as (_, front):
            pass
        try:
            status = front.wait(deadline)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} did not reboot:\n{self.console_tail()}") from None
        self._gone()
        if status != _REBOOT_STATUS:
            raise LabError(f"{self.name} ended with status {status}:\n{self.console_tail()}")

    def _await_ready(self, notify: socket.socket, front: subprocess.Popen[bytes], until: float) -> None:
        ended = os.pidfd_open(front.pid)
        try:
            while (left := until - time.monotonic()) > 0:
                ready, _, _ = select.select([notify, ended], [], [], left)
                if notify in ready and b"READY=1" in notify.recv(4096).split(b"\n"):
                    return
                if ended in ready and notify not in ready:
                    raise LabError(f"{self.name} did not boot:\n{self.console_tail()}")
        finally:
            os.close(ended)
        raise LabError(f"{self.name} was not up in time:\n{self.console_tail()}")

    def failed_units(self) -> list[str]:
        """Names of the machine's units in state `failed`."""
        listed = self.run(["systemctl", "--failed", "--plain", "--no-legend", "--full"]).out
        return [line.split()[0] for line in listed.splitlines()]

    def console_tail(self, lines: int = 25) -> str:
        """The end of what it wrote to its console."""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-lines:])

    @property
    def leader(self) -> int | None:
        """The pid, on the host, of the machine's PID 1; None when it is not running."""
        if self._leader and in_netns(self._leader, self.netns):
            return self._leader
        for pid in netns_pids(self.netns):
            try:
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(numbers) > 1 and numbers[-1] == "1":
                self._leader = pid
                return pid
        return None

    def prefix(self) -> list[str]:
        leader = self.leader
        if leader is None:
            raise LabError(f"{self.name} is not running")
        return ["nsenter", f"--target={leader}", "--all", f"--wd=/proc/{leader}/root/root"]

    def stop(self, *, deadline: float = STOP_DEADLINE) -> None:
        """Power it off. It can boot again; its files stay. LabError if it had to be forced."""
        # First what was started from outside: systemd-shutdown stops all processes, an nsenter
        # stops itself with its child, and then nobody reaps the child.
        self.end_programs()
        leader, ended = self.leader, True
        if leader is not None:
            descriptor = os.pidfd_open(leader)
            try:
                # systemd(1): SIGRTMIN+4 powers the machine off.
                signal.pidfd_send_signal(descriptor, signal.SIGRTMIN + 4)
                ended = bool(select.select([descriptor], [], [], deadline)[0])
                if not ended:
                    kill_netns(self.netns)
            finally:
                os.close(descriptor)
        self._gone()
        if not ended:
            raise LabError(f"{self.name} was not off after {deadline:g} s:\n{self.console_tail()}")

    def kill(self) -> None:
        """As if its power plug were pulled: not even its connections are closed."""
        links = self.run(["ls", "/sys/class/net"]).out.split()
        self._unplugged = [link for link in links if link.startswith("eth")]
        self.ip(*(f"link set {link} down" for link in self._unplugged))
        kill_netns(self.netns)
        self.end_programs()
        self._gone()

    def _gone(self) -> None:
        cgroup.remove(self.netns)
        if self._front:
            self._front.wait(10.0)
            self._front = None
        self._leader = None

    def journal(self, unit: str | None = None, *, lines: int = 200) -> str:
        """The end of the journal, of one unit or of all."""
        chosen = [f"--unit={unit}"] if unit else []
        return self.run(
            ["journalctl", "--no-pager", "--quiet", "-o", "short-precise", f"--lines={lines}", *chosen],
            check=False,
        ).out

    @contextmanager
    def saying(self, text: str, target: str, *, mode: int = 0o644) -> Iterator[None]:
        """With another text in a file of the machine, which runs; afterwards it is the former one again."""
        former = self.run(["cat", target]).out
        self.copy_in(text, target, mode=mode)
        try:
            yield
        finally:
            self.copy_in(former, target, mode=mode)

    def copy_in(self, text: str, target: str, *, mode: int = 0o644) -> None:
        """Write a file into the machine, running or not."""
        leader = self.leader
        root = Path(f"/proc/{leader}/root") if leader else self.root
        file = root / target.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
