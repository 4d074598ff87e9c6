"""The one gate for programs that have no interface but their command line.

No shell, no terminal, no inherited standard input, the locale of C, and always
a deadline. A failure carries what the program said last.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vtunlib.errors import MissingProgram, RdvError, Timeout

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REAP_SECONDS = 2.0
"""How long a killed program's pipes are waited for: a grandchild of another session may hold them."""


def last_line(stderr: str) -> str:
    """What most programs say why they failed."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


@dataclass(frozen=True)
class Ended:
    """A program that has ended. status: its exit status; below 0: the number of the signal that killed it."""

    program: str
    status: int
    stdout: str
    stderr: str

    def error(self, reason: Callable[[str], str] = last_line) -> RdvError:
        """What is told of it where its status is a failure; reason: what of its standard error says why."""
        return RdvError(f"{self.program} failed ({_status(self.status)}): {reason(self.stderr)}")


def run(
    argv: Sequence[str],
    *,
    deadline: float = 30.0,
    stdin: str | None = None,
    good: Container[int] = (0,),
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    reason: Callable[[str], str] = last_line,
) -> str:
    """Run `argv` to its end and return what it wrote to standard output.

    deadline: seconds until the program and its children are killed. stdin: text
    it is given to read; None gives it /dev/null. good: the exit statuses that are no
    failure. folder: where it runs; None: here. environment: besides PATH and the locale.
    reason: what of its standard error says why it failed. Raises MissingProgram, Timeout, or
    RdvError with the exit status and that.
    """
    ended = run_to_end(argv, deadline=deadline, stdin=stdin, folder=folder, environment=environment)
    if ended.status not in good:
        raise ended.error(reason)
    return ended.stdout


def run_to_end(
    argv: Sequence[str],
    *,
    deadline: float = 30.0,
    stdin: str | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """As `run`, for who has to tell one exit status from another: none is a failure here.

    Raises MissingProgram, Timeout, or RdvError where it cannot be run.
    """
    name = Path(argv[0]).name
    chosen = {"PATH": os.environ.get("PATH", _PATH), "LC_ALL": "C", **(environment or {})}
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=chosen,
            cwd=folder,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that the deadline ends its children too
        )
    except FileNotFoundError:
        raise MissingProgram(f"{argv[0]} is not installed", "install the package that has it") from None
    except OSError as error:
        raise RdvError(f"cannot run {argv[0]}: {error.strerror}") from None
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=deadline)
        except BaseException as error:
            _kill(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Timeout(f"{name} did not end within {deadline:g} s") from None
            raise
    return Ended(name, process.returncode, stdout, stderr)


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with suppress(subprocess.TimeoutExpired, ValueError):
        process.communicate(timeout=_REAP_SECONDS)


def _status(returncode: int) -> str:
    if returncode > 0:
        return f"exit status {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"
