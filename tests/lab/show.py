"""How the demo looks on a terminal: steps as they happen, what was said, a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

WIDTH = 80
_BOLD, _DIM, _GREEN, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True)
class Step:
    """A step that has ended; seconds it took."""

    title: str
    seconds: float


@dataclass
class Show:
    """Prints; a step's line is begun when it starts and completed with its time when it ends."""

    colour: bool = field(default_factory=sys.stdout.isatty)
    steps: list[Step] = field(default_factory=list)
    _open: bool = False

    def _paint(self, text: str, code: str) -> str:
        return f"{code}{text}{_PLAIN}" if self.colour else text

    def _print(self, text: str, end: str = "\n") -> None:
        if self._open:
            print()
            self._open = False
        print(text, end=end, flush=True)

    def heading(self, text: str) -> None:
        """A part of the demo begins."""
        self._print(f"\n{self._paint(text, _BOLD)}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """What happens in the block is one step of the table."""
        self._print(f"  {title:<{WIDTH - 12}}", end="")
        self._open = True
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self._end(self._paint("failed", _RED), title)
            raise
        seconds = time.monotonic() - started
        self.steps.append(Step(title, seconds))
        self._end(self._paint(f"{seconds:6.2f} s", _GREEN), title)

    def _end(self, text: str, title: str) -> None:
        # Where something was printed in between, the line is begun anew.
        print(text if self._open else f"  {title:<{WIDTH - 12}}{text}", flush=True)
        self._open = False

    def said(self, where: str, command: str, text: str) -> None:
        """A command as a person would have typed it, and what it answered."""
        self._print(f"    {self._paint(f'{where}$ {command}', _DIM)}")
        for line in text.rstrip().splitlines():
            self._print(f"      {line}")

    def note(self, text: str) -> None:
        """One line of explanation."""
        self._print(f"    {text}")

    def table(self) -> None:
        """Every step with its time."""
        self.heading("How long each step took")
        rule = self._paint("  " + "─" * (WIDTH - 2), _DIM)
        self._print(rule)
        for number, step in enumerate(self.steps, 1):
            self._print(f"  {number:>2}  {step.title:<{WIDTH - 16}}{step.seconds:>8.2f} s")
        self._print(rule)
        total = sum(step.seconds for step in self.steps)
        self._print(self._paint(f"      {'all of it':<{WIDTH - 16}}{total:>8.2f} s", _BOLD))

    def failed(self, text: str) -> None:
        """Why it ends here: the first line is what a person must see."""
        first, _, rest = text.partition("\n")
        self._print(f"\n{self._paint(f'demo: {first}', _RED)}")
        for line in rest.splitlines():
            self._print(f"  {line}")
