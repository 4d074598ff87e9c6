"""The operations guide as steps: its commands as they are printed, and what is done by hand.

In a block marked `console` a line that begins with a machine's prompt, as `rdv# `, is a
command; what follows it is what it prints, where `…` stands for anything and a line of
`…` alone for any lines. A paragraph that begins with **By hand:** is a step without a
command. Blocks of other languages are for reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.lab.debian import REPOSITORY

GUIDE = REPOSITORY / "docs/operations.md"
CTRL_C = re.compile(r"press Ctrl-C on the (\w+)\.")
"""By hand: ends the last command of that machine, which stays in the foreground until then."""

_PROMPT = re.compile(r"(?P<machine>[a-z]+)(?P<who>[#$]) (?P<command>.+)")
_BY_HAND = "**By hand:** "


@dataclass(frozen=True)
class Command:
    """One command; root: whether the prompt is root's; shown: the lines that it prints."""

    line: int
    machine: str
    root: bool
    text: str
    shown: tuple[str, ...]
    stays: bool = False
    """Whether it goes on until Ctrl-C."""

    def prints(self, output: str) -> bool:
        """Whether that is what the guide shows; a command of which it shows nothing may print anything."""
        return not self.shown or re.fullmatch(_pattern(self.shown), _plain(output)) is not None


@dataclass(frozen=True)
class ByHand:
    """What a person does without a command, on one line."""

    line: int
    text: str


Step = Command | ByHand


def steps(text: str) -> Iterator[Step]:
    """The guide's steps in their order."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        if lines[number] == "```console":
            end = lines.index("```", number)
            yield from _commands(lines[number + 1 : end], number + 2)
            number = end
        elif lines[number].startswith(_BY_HAND):
            end = next((n for n in range(number, len(lines)) if not lines[n].strip()), len(lines))
            said = " ".join(" ".join(lines[number:end]).split())
            yield ByHand(number + 1, said.removeprefix(_BY_HAND))
            number = end
        number += 1


def _commands(block: list[str], first: int) -> Iterator[Command]:
    found: list[tuple[int, re.Match[str], list[str]]] = []
    for offset, line in enumerate(block):
        if match := _PROMPT.fullmatch(line):
            found.append((first + offset, match, []))
        elif not found:
            raise ValueError(f"line {first + offset} of the guide comes before any command")
        else:
            found[-1][2].append(line)
    for number, match, rest in found:
        text = match["command"]
        while text.endswith("\\"):
            text = f"{text[:-1].rstrip()} {rest.pop(0).strip()}"
        yield Command(number, match["machine"], match["who"] == "#", text, tuple(rest))


def _pattern(shown: tuple[str, ...]) -> str:
    parts = []
    for line in shown:
        if line.strip() == "…":
            parts.append(r"(?:[^\n]*\n)*?")
        elif plain := _plain(line).strip("\n"):
            parts.append(re.escape(plain).replace("…", "[^\n]*?") + r"\n")
    return "".join(parts)


def _plain(text: str) -> str:
    """Its lines without empty ones, runs of spaces as one: columns are as wide as what is in them."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def read(path: Path = GUIDE) -> list[Step]:
    """The steps of the guide."""
    found = list(steps(path.read_text(encoding="utf-8")))
    last: dict[str, int] = {}
    for number, step in enumerate(found):
        if isinstance(step, Command):
            last[step.machine] = number
        elif match := CTRL_C.fullmatch(step.text):
            ended = found[last[match[1]]]
            assert isinstance(ended, Command)
            found[last[match[1]]] = replace(ended, stays=True)
    return found
