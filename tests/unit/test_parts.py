"""`make test` in two parts: nothing is left out, and each says what failed and cleans up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.__main__ import HERE, Part, parts

NOT_OF_MAKE_TEST = {"soak"}
FAILING = "def test_right(): pass\ndef test_wrong(): assert 1 == 2\n"
WAITING = """\
import pathlib, pytest, time
here = pathlib.Path(__file__).parent
@pytest.fixture
def made():
    yield
    time.sleep(0.3)
    (here / "cleaned-up").touch()
def test_waits(made):
    print("waits", file=open("/dev/stderr", "w"), flush=True)
    time.sleep(60)
"""


def a_part(folder: Path, test: str) -> Part:
    (folder / "test_it.py").write_text(test)
    return Part("it", (str(folder),), 0, "none")


def test_every_folder_of_tests_is_in_one_part() -> None:
    folders = [folder for part in parts() for folder in part.folders]
    there = {path.relative_to(HERE).parts[0] for path in HERE.rglob("test_*.py")}
    assert sorted(folders) == sorted(there - NOT_OF_MAKE_TEST)


def test_the_labs_of_the_parts_are_not_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_NAME", "x" * 16)
    labs = [part.lab for part in parts()]
    assert len(set(labs)) == len(labs) and all(len(lab) <= 16 for lab in labs)


def test_what_failed_is_in_the_report_and_not_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = a_part(tmp_path, FAILING)
    part.start([])
    part.follow()
    assert part.code == 1
    said, report = capsys.readouterr().out, "".join(part.report)
    assert "it        | " in said and "test_it.py" in said and "assert 1 == 2" not in said
    assert "assert 1 == 2" in report and "1 failed, 1 passed" in report


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_part_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    a_part(tmp_path, WAITING)
    made = f"Part('it', ({str(tmp_path)!r},), 0, 'x')"
    program = f"from tests.__main__ import Part, run; raise SystemExit(run([{made}], ['-s']))"
    # As in a shell's background.
    argv = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", program]
    with subprocess.Popen(argv, cwd=HERE.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            while "waits" not in (line := process.stdout.readline()):
                assert line
            process.send_signal(number)
            said = process.stdout.read()
            assert process.wait(60) == 2
        finally:
            process.kill()
    assert (tmp_path / "cleaned-up").exists()
    assert "KeyboardInterrupt" in said
