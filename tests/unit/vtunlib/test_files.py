"""Files that are whole: the new one or the old one, with the mode that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from vtunlib import files


def test_the_new_file_is_there_whole_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    file.chmod(0o644)
    files.replace(file, b"new", mode=0o600)
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    link = tmp_path / "key"
    link.symlink_to(tmp_path / "other")
    files.replace(link, b"new", mode=0o600)
    assert (tmp_path / "other").read_text() == "other"
    assert not link.is_symlink()


def test_what_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "directory"
    place.mkdir()
    with pytest.raises(OSError, match="directory"):
        files.replace(place, b"new", mode=0o600)
    assert list(tmp_path.iterdir()) == [place]
