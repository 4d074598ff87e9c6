"""A small systemd on a private bus: jobs that end as the test says, units that are what it says.

A process of its own, since pystemd keeps the interpreter's lock during a call.
Its first line of input is the test's Script, as JSON; it writes `ready`, and at
the end of its input the calls that it got.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus

from vtunlib import bus as buses

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"

_ROOT = Path(__file__).resolve().parents[3]
_UNKNOWN = {"ActiveState": "inactive", "SubState": "dead", "Result": "success"}


@dataclass
class Script:
    """What the test says. units: name to states. results: name to its jobs' result, None for no end."""

    units: dict[str, dict[str, str]] = field(default_factory=dict)
    results: dict[str, str | None] = field(default_factory=dict)
    early: bool = False
    """Whether a job is over before its name is told."""


@contextmanager
def fake_systemd(script: Script | None = None) -> Iterator[list[list[Any]]]:
    """A systemd that serves meanwhile; what is yielded is filled with the calls it got, at the end."""
    calls: list[list[Any]] = []
    argv = [sys.executable, "-m", "tests.unit.vtunlib.fake_systemd"]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, cwd=_ROOT, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(script or Script())) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            yield calls
            process.stdin.close()
            calls += json.loads(process.stdout.readline())
        finally:
            process.kill()


class Systemd:
    """The manager's object, and those of its units."""

    def __init__(self, bus: MessageBus, script: Script) -> None:
        self.bus = bus
        self.script = script
        self.calls: list[list[Any]] = []
        self._job = 0

    async def serve(self) -> None:
        """Answer until the input ends."""
        self.bus.add_message_handler(self._serve)
        await buses.own(self.bus, NAME)
        print("ready", flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
        await ended.wait()
        print(json.dumps(self.calls, default=lambda variant: [variant.signature, variant.value]), flush=True)

    def _serve(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        member, body = message.member or "", message.body
        if member == "Get":
            states = {**_UNKNOWN, **self.script.units.get(self._unit_at(message.path or ""), {})}
            value = states.get(body[1], "")
            return Message.new_method_return(message, "v", [Variant("s", value)])
        self.calls.append([member, body])
        if member == "Subscribe":
            return Message.new_method_return(message)
        if member == "ListUnitsByPatterns":
            return Message.new_method_return(message, "a(ssssssouso)", [self._rows(*body)])
        unit = body[0]
        if unit not in self.script.units and member != "StartTransientUnit":
            return Message.new_error(message, NO_SUCH_UNIT, f"Unit {unit} not loaded.")
        if member == "ResetFailedUnit":
            return Message.new_method_return(message)
        return self._begin_job(message, unit)

    def _rows(self, states: list[str], patterns: list[str]) -> list[list[Any]]:
        is_now = {name: unit.get("ActiveState", "active") for name, unit in self.script.units.items()}
        return [
            [name, "", "loaded", state, "running", "", "/", 0, "", "/"]
            for name, state in is_now.items()
            if state in states and any(fnmatch(name, pattern) for pattern in patterns)
        ]

    def _begin_job(self, message: Message, unit: str) -> bool:
        self._job += 1
        path = f"{PATH}/job/{self._job}"
        told = Message.new_method_return(message, "o", [path])
        other = self._removed(f"{PATH}/job/999", "other.service", "failed")
        result = self.script.results.get(unit, "done")
        ended = [self._removed(path, unit, result)] if result else []
        for each in [*ended, told] if self.script.early else [other, told, *ended]:
            self.bus.send(each)
        return True

    def _removed(self, path: str, unit: str, result: str) -> Message:
        return Message.new_signal(PATH, MANAGER, "JobRemoved", "uoss", [self._job, path, unit, result])

    @staticmethod
    def _unit_at(path: str) -> str:
        """The unit of an object path, in which what is no letter or digit is `_` and two hex digits."""
        parts = path.rpartition("/")[2].split("_")
        return parts[0] + "".join(chr(int(part[:2], 16)) + part[2:] for part in parts[1:])


async def main() -> None:
    """Serve as the first line of input says."""
    bus = await buses.connect(negotiate_unix_fd=True)
    await Systemd(bus, Script(**json.loads(sys.stdin.readline()))).serve()
    bus.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
