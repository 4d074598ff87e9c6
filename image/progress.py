"""How far a build is, read in the lines by which pi-gen and image.export tell what begins and ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"\[\d\d:\d\d:\d\d\] (Begin|End) (\S+)")


@dataclass(frozen=True)
class Step:
    """One that has ended. seconds: from its begin to its end."""

    name: str
    depth: int
    seconds: float


@dataclass
class Progress:
    """`root` is the folder whose own begin and end are the whole build's, and are passed over."""

    root: str
    ended: list[Step] = field(default_factory=list)
    _open: list[tuple[str, float]] = field(default_factory=list)

    def take(self, line: str, now: float) -> str | None:
        """Note what the line tells, if it does; the path of a step that ends with it.

        now: seconds of a monotonic clock.
        """
        found = _LINE.match(line)
        if not found or found[2] == self.root:
            return None
        word, path = found.groups()
        if word == "Begin":
            self._open.append((path, now))
            return None
        while self._open:
            begun, since = self._open.pop()
            if begun == path:
                self.ended.append(Step(self._name(path), len(self._open), now - since))
                return path
        return None

    @property
    def current(self) -> str:
        """The step that has begun last and not ended, below those that it is part of; empty for none."""
        return self._name(self._open[-1][0]) if self._open else ""

    @property
    def depth(self) -> int:
        """How many steps the current one is part of, itself included."""
        return len(self._open)

    def _name(self, path: str) -> str:
        # A stage's folder, and what is in it, without the folders above: they say nothing.
        outer = self._open[0][0] if self._open else path
        return path.removeprefix(outer.rsplit("/", 1)[0] + "/")


def table(steps: list[Step]) -> str:
    """The time of each stage and of the larger steps in it, one a line."""
    shown = [step for step in steps if step.depth < 2 or step.seconds >= 1]
    # A stage ends after its steps: told before them here.
    lines: list[str] = []
    inner: list[str] = []
    for step in shown:
        line = f"{step.seconds:8.0f} s  {step.name}"
        if step.depth:
            inner.append(line)
        else:
            lines += [line, *inner]
            inner = []
    total = sum(step.seconds for step in steps if not step.depth)
    return "\n".join([*lines, *inner, f"{total:8.0f} s  together"])
