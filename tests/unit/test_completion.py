"""What bash completes: every command with its options, and the onsites that are online; in a real bash."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_architecture import ROOT
from tests.unit.test_manuals import PARSERS, commands

FILES = {
    path.name: path for path in (ROOT / "rootfs-overlay").glob("*/usr/share/bash-completion/completions/*")
}
_COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
"_$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*line: str, path: Path | None = None) -> list[str]:
    """What bash offers for the last word of the line; path: a folder of programs before all others."""
    search = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    argv = ["bash", "--norc", "--noprofile", "-c", _COMPLETE, "bash", str(FILES[line[0]]), *line]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": search}, timeout=20)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def online(tmp_path: Path) -> Path:
    """A folder with a masterdev that tells onsites, and one name that is none."""
    program = tmp_path / "masterdev"
    program.write_text(f"#!/bin/sh\necho rpi1100\necho rpi1101\necho '$(touch {tmp_path}/evaluated)*'\n")
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_command_is_offered_with_all_its_options(name: str) -> None:
    for command, options in commands(PARSERS[f"{name}.1"]):
        words = [command] if command else []
        assert {*completed(name, *words, "-")} == options | {"--help"}, command
        if command:
            assert completed(name, command[:-1]) == [command] or command in completed(name, command[:-1])


@pytest.mark.parametrize("words", [("connect",), ("connect", "--reason", "x"), ("-m", "L2", "-o")])
def test_the_onsites_that_are_online_are_offered(online: Path, words: tuple[str, ...]) -> None:
    assert completed("masterdev", *words, "rpi", path=online) == ["rpi1100", "rpi1101"]
    assert completed("masterdev", *words, "rpi1101", path=online) == ["rpi1101"]


def test_nothing_of_what_is_told_is_evaluated(online: Path) -> None:
    told = completed("masterdev", "connect", "", path=online)
    assert told[:2] == ["rpi1100", "rpi1101"]
    assert not (online / "evaluated").exists()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (("masterdev", "connect", "rpi1100", "-m", ""), ["L2", "L3"]),
        (("masterdev", "connect", "--reason", ""), []),
        (("onsitedev", "-U", "w"), ["wlan"]),
        (("onsitedev", "-i", "l"), ["lo"]),
    ],
)
def test_a_value_is_offered_where_there_are_few(line: tuple[str, ...], offered: list[str]) -> None:
    assert completed(*line) == offered


def test_an_agent_that_does_not_answer_leaves_the_line_alone(tmp_path: Path) -> None:
    program = tmp_path / "masterdev"
    program.write_text("#!/bin/sh\necho 'masterdev: not connected' >&2\nexit 9\n")
    program.chmod(0o755)
    assert completed("masterdev", "connect", "", path=tmp_path) == []
