"""Where things are on a card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from image import layout as places
from image.layout import MIB, Layout, root_size
from tests.unit.image.sample import LAYOUT
from vtunlib.run import run


def test_partitions_are_aligned_and_none_overlaps_another() -> None:
    end = 0
    for part in LAYOUT.partitions:
        assert part.start >= end
        assert part.start % places.START == 0
        end = part.end
    assert LAYOUT.size == end


def test_there_is_room_for_another_root_and_data_is_last() -> None:
    _, root, other, data = LAYOUT.partitions
    assert other.size == root.size
    assert data.start == max(part.start for part in LAYOUT.partitions)


def test_sfdisk_takes_the_table_and_reads_the_same_names(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as made:
        made.truncate(LAYOUT.size)
    run(["sfdisk", "--quiet", str(image)], stdin=LAYOUT.table())
    table = json.loads(run(["sfdisk", "--json", str(image)]))["partitiontable"]
    assert table["label"] == "dos"
    assert table["id"] == "0x1234abcd"
    expected = [(part.start // 512, part.size // 512, part.kind) for part in LAYOUT.partitions]
    assert [(row["start"], row["size"], row["type"]) for row in table["partitions"]] == expected
    assert places.read(image) == LAYOUT


@pytest.mark.parametrize("spoilt", [0, 446 + 8, 446 + 16 * 3 + 8], ids=["signature", "boot", "data"])
def test_another_layout_is_not_taken_for_ours(tmp_path: Path, spoilt: int) -> None:
    image = tmp_path / "image"
    with image.open("wb") as made:
        made.truncate(LAYOUT.size)
    run(["sfdisk", "--quiet", str(image)], stdin=LAYOUT.table())
    with image.open("r+b") as disk:
        disk.seek(spoilt or 510)
        disk.write(b"\x01\x02\x03\x04"[: 4 if spoilt else 2])
    with pytest.raises(ValueError, match="partition"):
        places.read(image)


def test_a_root_has_room_for_upgrades_and_two_fit_a_small_card() -> None:
    assert root_size(0) == places.ROOT_LEAST
    assert root_size(1800 * MIB) >= 2200 * MIB
    assert root_size(1800 * MIB) % places.ROOT_STEP == 0
    assert Layout(1, places.ROOT_LEAST).size < 4_000_000_000 * 95 // 100


def test_fstab_mounts_the_root_read_only_and_does_without_a_boot_partition() -> None:
    root, boot = (line.split() for line in LAYOUT.fstab().splitlines())
    assert root[:2] == ["PARTUUID=1234abcd-02", "/"]
    assert "ro" in root[3].split(",")
    assert boot[:2] == ["PARTUUID=1234abcd-01", "/boot/firmware"]
    assert {"nofail", "umask=0077"} <= set(boot[3].split(","))
