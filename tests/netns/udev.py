"""A udev daemon of the test's own, and what tundev.port.events tells beside it.

The kernel tells of a network device only in the device's network namespace. So a veth in a
namespace with a udev daemon comes and goes as an adapter does: real events of the kernel's, real
rules, real names. A rule of the test's gives it the properties that a USB device would have.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from tests.unit.test_architecture import ROOT
from tundev import config
from tundev.port import events

RULES = ROOT / "rootfs-overlay/master/usr/lib/udev/rules.d"
SECONDS = 20

# Its own /sys, for that shows the links of one network namespace, and its own /run.
_ENTER = """
set -e
mount --make-rprivate /
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/udev/rules.d
cp "$1"/*.rules /run/udev/rules.d/
shift
exec "$@"
"""
_DAEMON = ["/usr/lib/systemd/systemd-udevd"]
_NO_DAEMON = ["sh", "-c", "systemd-notify --ready --no-block; exec sleep infinity"]


class Watching:
    """A process that says what is plugged in; said: the last that it said."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lines: list[bytes] = []
        self.said: Mapping[str, object] = {}

    def until(self, wanted: Callable[[Mapping[str, object]], bool]) -> Mapping[str, object]:
        """What it said last once that is as wanted. Raises AssertionError where it is not in time."""
        until = time.monotonic() + SECONDS
        while not wanted(self.said):
            line = self._line(until)
            assert line, f"still {self.said}"
            self.said = json.loads(line)
        return self.said

    def _line(self, until: float) -> bytes:
        """The next line; empty where there is none in time, or the process has ended."""
        pipe = self._process.stdout
        assert pipe is not None
        while len(self._lines) < 2:
            left = until - time.monotonic()
            if left < 0 or not select.select([pipe], [], [], left)[0]:
                return b""
            if not (more := os.read(pipe.fileno(), 65536)):
                return b""
            self._lines = (b"".join(self._lines) + more).split(b"\n")
        return self._lines.pop(0)

    def until_port(self, name: str | None, *waiting: str) -> Mapping[str, object]:
        """What it said once the port and those that wait are these."""
        return self.until(lambda said: (said.get("port"), said.get("waiting")) == (name, list(waiting)))

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """For as long as this is open it takes nothing in."""
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)


class Machine:
    """The namespaces in which the daemon runs, if there is one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._enter = ["nsenter", f"--target={pid}", "--mount", "--net", "--"]

    def run(self, *argv: str) -> str:
        """What the program prints; it must succeed."""
        return subprocess.run([*self._enter, *argv], check=True, capture_output=True, text=True).stdout

    def plug(self, name: str, peer: str = "") -> None:
        """An adapter that the kernel calls so comes."""
        self.run("ip", "link", "add", name, "type", "veth", "peer", "name", peer or f"cable-{name}")

    def pull(self, name: str) -> None:
        """It goes."""
        self.run("ip", "link", "delete", name)

    def properties(self, name: str) -> dict[str, str]:
        """What udev knows of it once it has taken in all events."""
        self.run("udevadm", "settle", f"--timeout={SECONDS}")
        text = self.run("udevadm", "info", "--query=property", f"/sys/class/net/{name}")
        return dict(line.split("=", 1) for line in text.splitlines())

    @contextmanager
    def watching(self, *how: str, stderr: IO[bytes] | None = None) -> Iterator[Watching]:
        """A process with tundev.port.events in it, which has said what is there; how: see _say."""
        argv = [*self._enter, sys.executable, "-m", "tests.netns.udev", *how]
        environment = {**os.environ, "PYTHONPATH": os.fspath(ROOT)}
        with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=stderr) as process:
            try:
                watching = Watching(process)
                watching.until(lambda said: "port" in said)
                yield watching
            finally:
                process.kill()


@contextmanager
def machine(rules: Path, *, daemon: bool = True) -> Iterator[Machine]:
    """Namespaces with a udev daemon that has our rules and those in the folder, besides the system's."""
    for rule in RULES.iterdir():
        (rules / rule.name).write_text(rule.read_text())
    with TemporaryDirectory() as short, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        ready = f"{short}/ready"  # of at most 107 bytes
        told.bind(ready)
        told.settimeout(SECONDS)
        argv = ["unshare", "--mount", "--net", "sh", "-c", _ENTER, "sh", os.fspath(rules)]
        argv += _DAEMON if daemon else _NO_DAEMON
        with subprocess.Popen(argv, env={**os.environ, "NOTIFY_SOCKET": ready}) as process:
            try:
                while b"READY=1" not in told.recv(4096):
                    pass
                yield Machine(process.pid)
            finally:
                process.terminate()


class HardOfHearing(events.Udev):
    """It can be told of two or three events before it must listen; libudev's own takes 128 MiB of them."""

    def __init__(self) -> None:
        super().__init__()
        with socket.socket(fileno=os.dup(self.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel's least


async def _say(interface: str = config.AUTO, hearing: str = "good") -> None:
    """Each choice as a line of JSON. hearing `bad`: as HardOfHearing."""
    if hearing == "bad":
        events.Udev = HardOfHearing  # type: ignore[misc]
    async with aclosing(events.watch(config.Master(interface=interface))) as choices:
        async for choice in choices:
            port = choice.port
            said = {
                "port": port.name if port else None,
                "plug": port.plug if port else None,
                "up": port.up if port else None,
                "carrier": port.carrier if port else None,
                "waiting": [adapter.name for adapter in choice.waiting],
                "left_alone": {left.name: left.reason for left in choice.left_alone},
            }
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    with suppress(KeyboardInterrupt):
        asyncio.run(_say(*sys.argv[1:]))
