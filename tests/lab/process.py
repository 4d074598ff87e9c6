"""The one gate through which the lab starts programs.

Argument lists only, standard input closed unless text is given, `LC_ALL=C.UTF-8`, a
deadline on everything that is waited for. A failure is told once, with the command and
the end of what it said.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

DEADLINE = 30.0


class LabError(Exception):
    """Something in the lab did not work; the text says what and where to look."""


@dataclass(frozen=True)
class Result:
    """What a finished program left."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    def check(self, where: str = "") -> Result:
        """Itself, or LabError if the exit code is not 0."""
        if self.code == 0:
            return self
        said = "\n".join((self.out + self.err).strip().splitlines()[-15:])
        place = f"{where}: " if where else ""
        raise LabError(f"{place}exit code {self.code} of: {shlex.join(self.argv)}\n{said}")


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of every program of the lab: nothing of the caller's but the terminal."""
    chosen = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
    }
    return chosen | (extra or {})


def run(
    argv: Sequence[str],
    *,
    deadline: float = DEADLINE,
    stdin: str | None = None,
    check: bool = True,
    shown: Sequence[str] | None = None,
    where: str = "",
) -> Result:
    """Run to the end. `shown` and `where` are what an error names instead of `argv`."""
    started = time.monotonic()
    told = tuple(shown or argv)
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else ""
        raise LabError(f"{where}: no end within {deadline:g} s: {shlex.join(told)}\n{said[-500:]}") from None
    except FileNotFoundError:
        raise LabError(f"{argv[0]} is not installed; make deps installs it") from None
    result = Result(told, done.returncode, done.stdout, done.stderr, time.monotonic() - started)
    return result.check(where) if check else result


class Program:
    """A program that runs on, its output collected as it comes.

    As a context manager it is ended (SIGTERM, then SIGKILL) at the end of the block.
    """

    def __init__(self, argv: Sequence[str], *, shown: Sequence[str] | None = None, where: str = "") -> None:
        self.shown = shlex.join(shown or argv)
        self.where = where
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            env=environment(),
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """All that it has said up to now, both streams."""
        return "\n".join(self.lines)

    def wait_line(self, wanted: Callable[[str], bool] | str, *, deadline: float = DEADLINE) -> str:
        """The first line that contains `wanted` or for which it is true; LabError if none comes."""
        matches = (lambda line: wanted in line) if isinstance(wanted, str) else wanted
        seen = 0
        until = time.monotonic() + deadline
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if matches(line):
                        return line
                seen = len(self.lines)
                left = until - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended without" if self._ended else f"in {deadline:g} s had not"
                    raise LabError(
                        f"{self.where}: {self.shown}\n{why} saying {wanted!r}:\n{self.text[-2000:]}"
                    )
                self._changed.wait(left)

    def wait_until(
        self, condition: Callable[[], bool], *, what: Callable[[], str], deadline: float = DEADLINE
    ) -> None:
        """Until the condition is true, looked at again whenever the program says something."""
        until = time.monotonic() + deadline
        while True:
            with self._changed:
                seen = len(self.lines)
            if condition():
                return
            with self._changed:
                left = until - time.monotonic()
                if left <= 0 or self._ended:
                    break
                if len(self.lines) == seen:
                    self._changed.wait(left)
        raise LabError(f"{self.where}: not within {deadline:g} s: {what()}")

    def say(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, not to the nsenter that waits for it."""
        for pid in _payload(self.process.pid):
            os.kill(pid, number)

    def wait(self, *, deadline: float = DEADLINE) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.where}: {self.shown}\nhad not ended after {deadline:g} s") from None
        self._reader.join(2.0)
        return code

    def stop(self) -> None:
        """End it; one that has ended already is no error."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            self.signal(number)
            try:
                self.process.wait(5.0)
            except subprocess.TimeoutExpired:
                continue
        if self.process.stdin:
            self.process.stdin.close()
        self._reader.join(2.0)

    def kill(self) -> None:
        """End it with no time to put anything in order; one that has ended already is no error."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(5.0)
        self.stop()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _payload(pid: int) -> list[int]:
    """`pid`, or the children of it that nsenter runs in a machine's pid namespace."""
    try:
        if Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip() != "nsenter":
            return [pid]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [int(child) for child in children] or [pid]
