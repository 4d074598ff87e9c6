"""The data partition, on files in place of cards: checked, mended, made anew, let grow."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tundev.appliance.data_partition import LABEL, Partition, check, find, lengthen, mend
from tundev.appliance.led import Led
from tundev.appliance.report import Report
from tundev.firstboot.boot_partition import BootPartition
from vtunlib.errors import RdvError
from vtunlib.run import run

MIB = 1 << 20


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A file system with a file in it."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "kept").write_text("it lasts")
    file = tmp_path / "data.img"
    run(["mkfs.ext4", "-q", "-L", LABEL, "-d", str(folder), str(file), "16M"])
    return file


def kept(device: Path) -> str:
    return run(["debugfs", "-R", "cat /kept", str(device)])


def test_a_sound_one_is_left_as_it_is(device: Path) -> None:
    before = device.read_bytes()
    assert mend(device) is None
    after = device.read_bytes()
    # But for the first block, where the file system notes how much was ever written to it.
    assert [
        at for at in range(2048, len(after), 4096) if after[at : at + 4096] != before[at : at + 4096]
    ] == []


def test_a_damaged_one_is_mended_and_keeps_its_files(device: Path) -> None:
    with device.open("r+b") as file:
        file.seek(1024)
        file.write(bytes(1024))  # the superblock; there are copies of it
    assert mend(device) is None
    assert kept(device) == "it lasts"
    assert mend(device) is None


@pytest.mark.parametrize("content", [bytes, os.urandom])
def test_one_beyond_mending_is_made_anew_and_why_is_told(
    tmp_path: Path, content: Callable[[int], bytes]
) -> None:
    device = tmp_path / "data.img"
    device.write_bytes(content(16 * MIB))
    assert "e2fsck failed" in str(mend(device))
    assert mend(device) is None
    assert LABEL in run(["dumpe2fs", "-h", str(device)])


@pytest.fixture
def fake_e2fsck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """One in the real one's place, that ends as its text of shell says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "e2fsck"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def ends(how: str) -> None:
        program.write_text(f"#!/bin/sh\n{how}\n")
        program.chmod(0o755)

    return ends


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("kill -KILL $$", "killed by SIGKILL"),
        ("[ $1 = -p ] && exit 4; kill -TERM $$", "killed by SIGTERM"),
        *((f"exit {status}", f"exit status {status}") for status in (16, 32, 36, 127, 128)),
    ],
)
def test_one_whose_check_did_not_come_to_its_end_is_left_as_it_is(
    device: Path, fake_e2fsck: Callable[[str], None], how: str, told: str
) -> None:
    before = device.read_bytes()
    fake_e2fsck(how)
    with pytest.raises(RdvError, match=f"e2fsck failed .{told}"):
        mend(device)
    assert device.read_bytes() == before


@pytest.mark.parametrize("status", [4, 5, 8, 12])
def test_what_the_check_itself_says_is_beyond_mending_is_made_anew(
    device: Path, fake_e2fsck: Callable[[str], None], status: int
) -> None:
    fake_e2fsck(f"exit {status}")
    assert f"exit status {status}" in str(mend(device))
    assert kept(device) == ""


def test_the_card_says_that_it_was_made_anew_and_why(device: Path, tmp_path: Path) -> None:
    sectors = device.stat().st_size // 512
    whole = Partition(device, device, 0, sectors, sectors)
    boot, found = tmp_path / "boot", tmp_path / "found"
    boot.mkdir()

    def told() -> str:
        check(whole, found)
        Report(BootPartition(boot), led=Led(tmp_path), configuration=tmp_path / "none", found=found).write()
        return " ".join((boot / "tundev-status.txt").read_text().split())

    assert "anew" not in told()
    device.write_bytes(bytes(16 * MIB))
    assert "damaged beyond repair, and was begun anew" in told()
    assert "e2fsck failed (exit status 8)" in told(), (
        "it is sound now, and who reads the card has to know yet"
    )


def test_a_card_that_cannot_be_read_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(RdvError, match="is the card broken"):
        mend(tmp_path)  # a folder: it can be opened by nobody for its bytes


def table(disk: Path) -> list[tuple[int, int]]:
    parts = json.loads(run(["sfdisk", "--json", str(disk)]))["partitiontable"]["partitions"]
    return [(part["start"], part["size"]) for part in parts]


def test_the_last_partition_is_let_reach_the_cards_end_and_no_other_moves(tmp_path: Path) -> None:
    disk = tmp_path / "card.img"
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    run(["sfdisk", "--quiet", str(disk)], stdin="label: dos\n,8M,c\n,8M\n,8M\n,4M\n")
    before = table(disk)
    start, size = before[3]
    partition = Partition(disk, disk, start, size, 64 * MIB // 512)
    assert partition.may_grow
    told = lengthen(partition)
    assert table(disk)[:3] == before[:3]
    start, size = table(disk)[3]
    assert told == size
    assert start == before[3][0] and start + size == 64 * MIB // 512
    assert not Partition(disk, disk, start, size, 64 * MIB // 512).may_grow


def test_it_is_found_by_its_number_on_the_roots_own_disk(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    disk = tmp_path / "devices/mmc0/block/mmcblk0"
    for number, start in ((1, 2048), (2, 4096), (4, 8192)):
        folder = disk / f"mmcblk0p{number}"
        folder.mkdir(parents=True)
        for name, value in (("partition", number), ("start", start), ("size", 1024)):
            (folder / name).write_text(f"{value}\n")
    (disk / "size").write_text("1000000\n")
    numbers = tmp_path / "dev/block"
    numbers.mkdir(parents=True)
    (numbers / f"{os.major(device)}:{os.minor(device)}").symlink_to(disk / "mmcblk0p2")
    found = find(tmp_path, sysfs=tmp_path)
    assert found == Partition(Path("/dev/mmcblk0p4"), Path("/dev/mmcblk0"), 8192, 1024, 1000000)
    assert find(tmp_path, number=3, sysfs=tmp_path) is None


def test_a_root_that_is_on_no_card_has_none(tmp_path: Path) -> None:
    assert find(tmp_path, sysfs=tmp_path) is None
