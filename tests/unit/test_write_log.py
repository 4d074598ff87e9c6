"""What a power cut leaves of a disk, by the log of what was written to it."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from tests.soak.write_log import cuts, entries, flushed, replay

BLOCK = 512


def log_of(path: Path, *written: tuple[int, bytes] | None) -> Path:
    """As QEMU 7.2 writes it: writes of whole blocks at a block's number; None is a flush."""
    data = struct.pack("<QQQI", 0x6A736677736872, 1, len(written), BLOCK).ljust(BLOCK, b"\0")
    for one in written:
        at, text = one or (0, b"")
        head = struct.pack("<QQQQ", at, len(text) // BLOCK, 0 if one else 1, 0)
        data += head.ljust(BLOCK, b"\0") + text
    path.write_bytes(data)
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk"
    file.write_bytes(b"." * BLOCK * 4)
    return file


def test_what_was_flushed_lasts_and_of_the_rest_some(tmp_path: Path, disk: Path) -> None:
    blocks = [bytes([letter]) * BLOCK for letter in b"abc"]
    log = log_of(tmp_path / "log", (1, blocks[0]), None, (2, blocks[1]), (3, blocks[2]))
    written = entries(log)
    assert flushed(written) == 2
    outcomes = set()
    for seed in range(30):
        disk.write_bytes(b"." * BLOCK * 4)
        lost = replay(log, written, disk, random.Random(seed))  # noqa: S311
        left = disk.read_bytes()[::BLOCK].decode()
        assert left.count(".") == lost + 1
        outcomes.add(left)
    assert outcomes == {".abc", ".ab.", ".a.c", ".a.."}


def test_one_log_gives_the_disk_of_many_cuts(tmp_path: Path, disk: Path) -> None:
    blocks = [bytes([letter]) * BLOCK for letter in b"abc"]
    log = log_of(tmp_path / "log", (1, blocks[0]), None, (1, blocks[1]), (2, blocks[2]), None)
    left = {}
    for number in cuts(log, entries(log), disk, range(1, 6), random.Random(3)):  # noqa: S311
        left[number] = disk.read_bytes()[::BLOCK].decode()
    assert left[2] == ".a.." and left[5] == ".bc."
    assert left[1] in {"....", ".a.."}
    assert left[4] in {".a..", ".b..", ".ac.", ".bc."}


@pytest.mark.parametrize("cut", [1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_a_log_that_was_cut_short_is_read_up_to_there(tmp_path: Path, cut: int) -> None:
    log = log_of(tmp_path / "log", (0, b"a" * BLOCK), (1, b"b" * BLOCK))
    log.write_bytes(log.read_bytes()[:-cut])
    assert [entry.at for entry in entries(log)] == [0]


def test_another_file_is_no_log(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(BLOCK))
    with pytest.raises(ValueError, match="no log"):
        entries(file)


def test_a_machine_whose_power_went_at_once_wrote_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"")
    assert entries(log) == []
