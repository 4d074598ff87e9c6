"""A configuration that is edited and not served from is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdv import served


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """What is edited and what is served from, the same."""
    edited, copies = tmp_path / "edited", tmp_path / "served"
    for folder in (edited, copies):
        folder.mkdir()
        for name in (served.SSHD, served.STUNNEL):
            (folder / name).write_text(f"# {name}\n")
    return edited, copies


def test_what_is_served_as_it_was_edited_is_not_told(folders: tuple[Path, Path]) -> None:
    assert list(served.not_in_force(*folders)) == []


@pytest.mark.parametrize(("name", "unit"), [(served.SSHD, "rdv-sshd"), (served.STUNNEL, "rdv-stunnel")])
def test_what_differs_is_told_with_what_to_do(folders: tuple[Path, Path], name: str, unit: str) -> None:
    (folders[0] / name).write_text("Port twentytwo\n")
    ((told, text),) = served.not_in_force(*folders)
    assert told == name
    assert str(folders[0] / name) in text and f"systemctl reload {unit}" in text


def test_an_edited_file_that_is_gone_is_told(folders: tuple[Path, Path]) -> None:
    (folders[0] / served.SSHD).unlink()
    assert [name for name, _ in served.not_in_force(*folders)] == [served.SSHD]


def test_a_server_that_was_never_started_is_not_told(folders: tuple[Path, Path]) -> None:
    (folders[1] / served.STUNNEL).unlink()
    assert list(served.not_in_force(*folders)) == []
