"""The login shells: what they join a channel to, and what they refuse. A fake nc says what it was asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SYSTEM = Path(__file__).resolve().parents[3] / "rdv" / "system"
ROLES = pytest.mark.parametrize("role", ["onsite", "master"])


def relay(directory: Path, role: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status and output of the login shell, run as sshd runs it."""
    nc = directory / "nc.openbsd"
    nc.write_text('#!/bin/sh\necho "nc $*"\n')
    nc.chmod(0o755)
    done = subprocess.run(
        [SYSTEM / "usr/lib/rdv" / f"{role}dev-shell", *arguments],
        env={"PATH": f"{directory}:{os.defpath}", "LOGNAME": "rpi1100", **environment},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


@ROLES
def test_the_word_shell_gives_the_role_s_shell(tmp_path: Path, role: str) -> None:
    assert relay(tmp_path, role, "-c", "shell") == (0, f"nc -U -N /run/rdv/{role}dev-shell.sock")


@ROLES
def test_under_the_word_shell_a_device_may_ask_for_its_own_leg(tmp_path: Path, role: str) -> None:
    asked = relay(tmp_path, role, "-c", "shell", SSH_ORIGINAL_COMMAND="leg")
    assert asked == (0, "nc -U -N /run/rdv/leg/rpi1100.sock")


@ROLES
@pytest.mark.parametrize(
    "asked", ["id", "leg x", "leg\n", "$(id)", "shell", "../rpi2", "sftp-server", "*", " "]
)
def test_anything_else_it_asks_for_is_refused(tmp_path: Path, role: str, asked: str) -> None:
    status, said = relay(tmp_path, role, "-c", "shell", SSH_ORIGINAL_COMMAND=asked)
    assert status != 0 and said.startswith("*** NotAllowed: ") and "\n" not in said


@ROLES
@pytest.mark.parametrize("asked", [{}, {"SSH_ORIGINAL_COMMAND": "leg"}, {"SSH_ORIGINAL_COMMAND": "shell"}])
def test_the_word_enrol_gives_enrolment_whatever_is_asked_for(
    tmp_path: Path, role: str, asked: dict[str, str]
) -> None:
    assert relay(tmp_path, role, "-c", "enrol", **asked) == (0, "nc -U -N /run/rdv/enrol.sock")


@ROLES
@pytest.mark.parametrize(
    "words",
    [[], ["-c"], ["-c", "enrol", "x"], ["-c", "leg"], ["-c", "id"], ["-c", "shell", "x"], ["-i"], ["-c", ""]],
)
def test_any_other_word_of_the_key_line_gives_nothing(tmp_path: Path, role: str, words: list[str]) -> None:
    status, said = relay(tmp_path, role, *words, SSH_ORIGINAL_COMMAND="leg")
    assert status != 0 and said.startswith("*** NotAllowed: ")
