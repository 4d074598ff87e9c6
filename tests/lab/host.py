"""A host of the lab: a network namespace in which programs run, and the wires between hosts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from tests.lab.place import NETNS, Place, full_name
from tests.lab.process import DEADLINE, LabError, Program, Result, run


class Runs(Protocol):
    """Something that commands run on: a host or machine of the lab, or one in QEMU."""

    name: str

    def run(
        self, argv: Sequence[str], *, deadline: float = ..., stdin: str | None = ..., check: bool = ...
    ) -> Result:
        """As `Host.run`."""
        ...


class Host:
    """A plain host: its network is its own, its files are the lab host's.

    Files under `self.path` are its own; `/etc/netns/<its name>` is what `ip netns exec`
    shows its programs as /etc (only resolv.conf is put there).
    """

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.name = name
        self.netns = full_name(place.lab, name)
        self.path = place.path / name
        self.programs: list[Program] = []

    def create(self) -> None:
        """The namespace, loopback up, and the directory."""
        self.path.mkdir(parents=True, exist_ok=True)
        run(["ip", "netns", "add", self.netns])
        self.ip("link set lo up")

    def ip(self, *lines: str) -> None:
        """ip(8) commands in the namespace, all or an error that names the line."""
        if lines:
            run(["ip", "-n", self.netns, "-batch", "-"], stdin="\n".join(lines) + "\n", where=self.name)

    def prefix(self) -> list[str]:
        """What to put before a command so that it runs here."""
        return ["ip", "netns", "exec", self.netns]

    def run(
        self, argv: Sequence[str], *, deadline: float = DEADLINE, stdin: str | None = None, check: bool = True
    ) -> Result:
        """Run a command here to its end; LabError on a non-zero exit code unless check is False."""
        return run(
            [*self.prefix(), *argv], deadline=deadline, stdin=stdin, check=check, shown=argv, where=self.name
        )

    def start(self, argv: Sequence[str]) -> Program:
        """Start a program here; it is ended with the host at the latest."""
        program = Program([*self.prefix(), *argv], shown=argv, where=self.name)
        self.programs.append(program)
        return program

    def set_resolver(self, *servers: str) -> None:
        """What /etc/resolv.conf says to programs here."""
        file = Path("/etc/netns") / self.netns / "resolv.conf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"nameserver {server}\n" for server in servers), encoding="ascii")

    def end_programs(self) -> None:
        """End what was started here and still runs."""
        for program in self.programs:
            program.stop()
        self.programs.clear()


def wire(a: Host, name_a: str, b: Host, name_b: str, *, mac_a: str = "") -> None:
    """A cable from interface `name_a` of a to `name_b` of b, both ends up."""
    address = f"address {mac_a} " if mac_a else ""
    a.ip(f"link add {name_a} {address}type veth peer name {name_b} netns {b.netns}", f"link set {name_a} up")
    b.ip(f"link set {name_b} up")


class Switch(Host):
    """An Ethernet switch: a bridge called `lan` in a namespace of its own."""

    def create(self) -> None:
        super().create()
        self.ip("link add lan type bridge stp_state 0 forward_delay 0", "link set lan up")
        self._ports = 0

    def plug(self, host: Host, interface: str, *, mac: str = "") -> str:
        """A cable from this switch to `interface` of the host; its port here."""
        self._ports += 1
        port = f"port{self._ports}"
        wire(host, interface, self, port, mac_a=mac)
        self.ip(f"link set {port} master lan")
        return port

    def take(self, host: Host, interface: str) -> None:
        """The interface that a program of the host has made is a port of this switch from now on."""
        host.ip(f"link set {interface} netns {self.netns}")
        self.ip(f"link set {interface} master lan", f"link set {interface} up")


def in_netns(pid: int, netns: str) -> bool:
    """Whether the process is there and the namespace is its network."""
    try:
        return Path(f"/proc/{pid}/ns/net").samefile(NETNS / netns)
    except OSError:
        return False


def netns_pids(netns: str) -> list[int]:
    """Processes whose network namespace it is."""
    if not (NETNS / netns).exists():
        return []
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if in_netns(pid, netns)]


def kill_netns(netns: str) -> None:
    """SIGKILL to every process in the namespace, each checked again through its pidfd."""
    for pid in netns_pids(netns):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if in_netns(pid, netns):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)


def delete_netns(names: Iterable[str]) -> None:
    """Delete namespaces with all links in them; links go first, for a namespace may outlive its name."""
    for name in names:
        links = run(["ip", "-n", name, "-o", "link"], check=False).out
        for line in links.splitlines():
            link = line.split(": ")[1].split("@")[0]
            if link != "lo":
                run(["ip", "-n", name, "link", "delete", link], check=False)
        run(["ip", "netns", "delete", name], check=False)
        resolver = Path("/etc/netns") / name / "resolv.conf"
        resolver.unlink(missing_ok=True)
        if resolver.parent.is_dir():
            resolver.parent.rmdir()


def wait_until(
    condition: Callable[[], object], *, what: str, deadline: float = DEADLINE, every: float = 0.05
) -> None:
    """Until the condition is true: for facts that no event tells. LabError if it never is."""
    until = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > until:
            raise LabError(f"not within {deadline:g} s: {what}")
        time.sleep(every)
