"""What `make soak` does for long, for a second each: the seeds, bytes at random, lines of the grammar."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdv.onsitedev_shell import OnsiteShell
from rdv.shell.shell_session import Command, ShellSession
from tests.fuzz.shell import SHELLS, check
from tests.fuzz.targets import TARGETS
from vtunlib.words import Word

SEEDS = Path(__file__).resolve().parents[1] / "fuzz" / "seeds"
SHORTLY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """The seed with a piece of it replaced."""
    place = st.integers(0, len(seed))
    return st.tuples(place, place, st.binary(max_size=20)).map(
        lambda cut: seed[: min(cut[:2])] + cut[2] + seed[max(cut[:2]) :]
    )


def seeds(target: str) -> list[bytes]:
    return [file.read_bytes() for file in sorted((SEEDS / target).iterdir())]


@pytest.mark.parametrize("target", list(TARGETS))
def test_whatever_comes_is_answered_or_refused(target: str) -> None:
    near = st.sampled_from(seeds(target)).flatmap(mutated)

    @SHORTLY
    @given(st.one_of(near, near, st.binary(max_size=200)))
    def throw(data: bytes) -> None:
        TARGETS[target](data)

    for seed in seeds(target):
        TARGETS[target](seed)
    throw()


WORDS = st.one_of(
    st.sampled_from(Word),
    st.sampled_from(["o1", "-v", "L2", "on", "'a b'", "192.168.1.2/24"]),
    st.text(max_size=9),
)
LINES = st.lists(st.lists(WORDS, max_size=4).map(" ".join), max_size=6)


@pytest.mark.parametrize("kind", SHELLS)
def test_lines_of_words_get_one_answer_each(kind: type[ShellSession]) -> None:
    @SHORTLY
    @given(LINES)
    def say(lines: list[str]) -> None:
        check(kind, "".join(f"{line}\n" for line in lines).encode(errors="replace"))

    say()


async def _breaks(_shell: ShellSession, _arguments: list[str]) -> list[str]:
    raise ZeroDivisionError


class Broken(OnsiteShell):
    """A shell with a bug in it."""

    commands: ClassVar[Mapping[str, Command]] = {
        **OnsiteShell.commands,
        Word.ECHO: Command(_breaks, (0, 1), "echo", ""),
    }


def test_a_bug_in_the_shell_is_found() -> None:
    check(Broken, b"get_role\n")
    with pytest.raises(AssertionError):
        check(Broken, b"get_role\necho\n")
