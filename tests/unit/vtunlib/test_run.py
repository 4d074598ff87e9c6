"""Programs are run with a deadline, without a shell, and fail with their own last words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vtunlib.errors import MissingProgram, RdvError, Timeout
from vtunlib.run import run, run_to_end


def test_it_returns_what_the_program_wrote() -> None:
    assert run(["printf", "%s", "a b; $HOME"]) == "a b; $HOME"


def test_without_input_a_program_reads_nothing() -> None:
    assert run(["cat"]) == ""
    assert run(["cat"], stdin="grüße\n") == "grüße\n"


def test_a_failure_tells_status_and_last_line() -> None:
    with pytest.raises(RdvError, match=r"^sh failed \(exit status 3\): second$"):
        run(["sh", "-c", "echo first >&2; echo second >&2; exit 3"])
    with pytest.raises(RdvError, match=r"^sh failed \(killed by SIGTERM\): it said nothing$"):
        run(["sh", "-c", "kill -TERM $$"])


def test_who_has_to_tell_one_exit_status_from_another_is_given_it() -> None:
    ended = run_to_end(["sh", "-c", "echo so far; exit 3"])
    assert (ended.status, ended.stdout) == (3, "so far\n")
    assert run_to_end(["sh", "-c", "kill -TERM $$"]).status == -15


def test_a_missing_program_is_told_as_that() -> None:
    with pytest.raises(MissingProgram, match="no-such-program"):
        run(["no-such-program"])


def test_what_cannot_be_run_is_told(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("no program")
    program.chmod(0o755)
    with pytest.raises(RdvError, match=f"cannot run {program}: Exec format error"):
        run([str(program)])


def test_at_the_deadline_the_program_and_its_children_are_ended() -> None:
    started = time.monotonic()
    with pytest.raises(Timeout, match=r"sh did not end within 0\.2 s"):
        run(["sh", "-c", "sleep 30 & sleep 30"], deadline=0.2)
    assert time.monotonic() - started < 25, "the sleeping children were waited for"


def test_output_that_is_not_text_is_replaced_not_fatal() -> None:
    assert run(["printf", r"a\377b"]) == "a\ufffdb"


def test_the_environment_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("SECRET", "x")
    lines = run(["env"], environment={"WANTED": "y"}).splitlines()
    assert "WANTED=y" in lines
    assert "LC_ALL=C" in lines
    assert not [line for line in lines if line.startswith("SECRET=")]


def test_a_program_runs_where_it_is_told_and_its_reason_is_what_is_asked_for(tmp_path: Path) -> None:
    assert run(["pwd"], folder=tmp_path) == f"{tmp_path}\n"
    with pytest.raises(RdvError, match=r"^sh failed \(exit status 3\): FIRST$"):
        run(
            ["sh", "-c", "echo first >&2; echo second >&2; exit 3"],
            reason=lambda stderr: stderr.split()[0].upper(),
        )
