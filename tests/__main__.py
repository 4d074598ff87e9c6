"""All tests, in two parts side by side: what waits, and what computes (docs/adr/0031).

    python3 -m tests

Each part is a pytest of its own, so that each can be interrupted and cleans up as ever. What
they say as they go comes as it comes, a whole line at a time, each with its part's name; the
reports come when both are over, that of a part in which something failed last.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests import report_mark

HERE = Path(__file__).parent


@dataclass
class Part:
    """Folders that run one after the other. niceness: as nice(1) has it; lab: the name of its own."""

    name: str
    folders: tuple[str, ...]
    niceness: int
    lab: str
    report: list[str] = field(default_factory=list)
    code: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self, options: Sequence[str]) -> None:
        """Begin; `follow` it to its end. options: of pytest."""
        argv = ["nice", f"--adjustment={self.niceness}", sys.executable, "-m", "pytest", "--no-header"]
        # The cache of what failed last is one for all. What takes longest is told, for this is long.
        argv += ["-p", report_mark.__name__, "-p", "no:cacheprovider", "--durations=15", *options]
        self.process = subprocess.Popen(
            [*argv, *(str(HERE / name) for name in self.folders)],
            cwd=HERE.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "LAB_NAME": self.lab, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # a Ctrl-C reaches it once, by `interrupt`
        )

    def follow(self) -> None:
        """Show what it says up to the report, which is kept."""
        assert self.process is not None and self.process.stdout is not None
        lines = iter(self.process.stdout)
        for line in lines:
            if line == report_mark.LINE:
                break
            print(f"{self.name:9} | {line}", end="", flush=True)
        self.report = list(lines)
        self.code = self.process.wait()

    def interrupt(self) -> None:
        """As Ctrl-C does: it cleans up and ends."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)


def parts() -> list[Part]:
    """The lab's machines wait for each other in real time; the rest takes what they leave of the machine."""
    lab = os.environ.get("LAB_NAME", "test")
    return [
        Part("lab", ("lab",), 0, lab),
        Part("computing", ("unit", "bus", "netns", "browser", "image"), 10, f"{lab[:13]}two"),
    ]


def run(running: Sequence[Part], options: Sequence[str] = ()) -> int:
    """All parts to their ends. 0 where everything passed, else a code of pytest's, or a signal."""
    started = time.monotonic()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for part in running:
            part.interrupt()

    # Also for the parts: a program that was started in a shell's background has SIGINT ignored, and so
    # would they.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    followers = [threading.Thread(target=part.follow) for part in running]
    for part in running:
        part.start(options)
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join()
    for part in sorted(running, key=lambda part: abs(part.code)):
        print(
            f"\n{f' {part.name}: {chr(32).join(part.folders)} ':#^80}", "".join(part.report), sep="\n", end=""
        )
    print(f"{time.monotonic() - started:.0f} s in all", flush=True)
    return max(abs(part.code) for part in running)  # negative where a signal ended it


if __name__ == "__main__":
    sys.exit(run(parts(), sys.argv[1:]))
