"""The image's file from a root folder: no loop device, no mount, and what is empty stays a hole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image import layout as places
from image.layout import BOOT_LABEL, BOOT_PATH, ROOT_LABEL, Layout, Partition
from tundev.appliance import data_partition
from vtunlib.run import run

_DEADLINE = 900.0


def used_by(root: Path) -> int:
    """Bytes that the root's files take on a disk, those of the boot partition left out."""
    boot = root / BOOT_PATH
    total = 0
    for folder, folders, files in os.walk(root):
        if Path(folder) == boot:
            folders.clear()
            continue
        total += sum(os.lstat(Path(folder, name)).st_blocks * 512 for name in [*files, *folders])
    return total


def assemble(root: Path, layout: Layout, image: Path, work: Path) -> None:
    """Write the image; `work` is a folder for its parts."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    image.unlink(missing_ok=True)
    with image.open("wb") as made:
        made.truncate(layout.size)
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(image)], stdin=layout.table())
    boot, system, _, data = layout.partitions
    with _set_aside(root / BOOT_PATH, work / "boot.d") as boot_files:
        put(_vfat(boot_files, boot, layout.disk_id, work / "boot"), image, boot.start)
        put(_ext4(root, system, work / "root", "-L", ROOT_LABEL, "-m", "1"), image, system.start)
    empty = work / "data.d"
    empty.mkdir()
    put(_ext4(empty, data, work / "data", *data_partition.MAKE), image, data.start)
    shutil.rmtree(work)


@contextmanager
def _set_aside(folder: Path, elsewhere: Path) -> Iterator[Path]:
    """The boot partition's files, away from the root, which keeps an empty folder to mount it on."""
    # Not renamed: the root may be laid over another one, and overlayfs renames no folder of that.
    shutil.move(folder, elsewhere)
    folder.mkdir(mode=0o755)
    try:
        yield elsewhere
    finally:
        folder.rmdir()
        shutil.move(elsewhere, folder)


def _vfat(files: Path, partition: Partition, serial: int, target: Path) -> Path:
    _hole(target, partition.size)
    run(["mkfs.vfat", "-F", "32", "-n", BOOT_LABEL, "-i", f"{serial:08x}", str(target)])
    entries = [str(path) for path in sorted(files.iterdir())]
    if entries:
        run(["mcopy", "-spm", "-i", str(target), *entries, "::/"], deadline=_DEADLINE)
    return target


def _ext4(files: Path, partition: Partition, target: Path, *options: str) -> Path:
    _hole(target, partition.size)
    # No lazy initialisation: it would write to the card at the first boots.
    at_once = ["-E", "lazy_itable_init=0,lazy_journal_init=0"]
    run(["mke2fs", "-q", "-t", "ext4", *options, *at_once, "-d", str(files), str(target)], deadline=_DEADLINE)
    return target


def _hole(target: Path, size: int) -> None:
    with target.open("wb") as made:
        made.truncate(size)


def put(part: Path, image: Path, offset: int) -> None:
    """Copy what is written in `part` into the image at `offset`, its holes left holes."""
    with part.open("rb") as source, image.open("r+b") as target:
        for start, end in written(source.fileno()):
            source.seek(start)
            target.seek(offset + start)
            left = end - start
            while left:
                block = source.read(min(left, places.MIB))
                target.write(block)
                left -= len(block)


def written(descriptor: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each stretch of a file that is no hole."""
    end = 0
    size = os.fstat(descriptor).st_size
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # nothing but holes from here on
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
