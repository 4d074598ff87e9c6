"""The data partition: the one place of a card that lasts and is written to.

Before it is mounted it is checked, and let reach the card's end. What e2fsck itself says
that it cannot mend is made anew, empty: the device then takes the boot partition's file over
again. What kept e2fsck from its end is told, and the next boot tries again.
While it is mounted its file system is let grow, which the kernel's journal makes
safe against a power cut; the table of partitions is one sector, whole or as before.

It never touches another partition than that of its number, on the root's own disk.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from array import array
from dataclasses import dataclass, replace
from pathlib import Path

from tundev.firstboot import outcome
from vtunlib.errors import RdvError
from vtunlib.run import run, run_to_end

NUMBER = 4
"""Boot, root, the room for a second root, data: as image/ lays it out."""
LABEL = "tundev-data"
WHERE = Path("/var/lib/tundev")
SECTOR = 512
SLACK = 16 * 1024 * 1024
"""Bytes at the card's end that are not worth a change of the table."""
CHECK_SECONDS = 600.0
MAKE = ("-b", "4096", "-i", "65536", "-m", "1", "-L", LABEL)
"""Of mke2fs. Of inodes there are few: while the file system grows, the kernel writes their tables."""
_RESIZE = 0x40086610
"""EXT4_IOC_RESIZE_FS of Linux's fs/ext4/ext4.h: _IOW('f', 16, __u64), the new size in blocks."""
_BLKPG = 0x1269
"""Of Linux's linux/blkpg.h: _IO(0x12, 105), of an operation, flags, length and address of its data."""
_RESIZE_PARTITION = 3
_PARTITION = struct.Struct("@qqi64s64s4x")
"""struct blkpg_partition: start and length in bytes, number, two names that are not looked at."""
_MENDED = range(4)
"""e2fsck(8), whose exit status is the sum of its conditions: 1 and 2 are errors that were corrected."""
_BEYOND_MENDING = range(4, 16)
"""4: errors that were not; 8: an operation failed, as where there is no superblock. With any other status,
and killed, it did not do its work, which says nothing of the file system."""
_STRIDE = 128 * 1024 * 1024
"""A block group of 4096-byte blocks: each may begin with what e2fsck begins with (ext4(5), `flex_bg`)."""
_LOOK = 1024 * 1024
"""As much of each stride as is read before all is given up: enough for its copy of the superblock."""


@dataclass(frozen=True)
class Partition:
    """A partition and the disk that it is on; start, size and disk_size in sectors of 512 bytes."""

    device: Path
    disk: Path
    start: int
    size: int
    disk_size: int

    @property
    def may_grow(self) -> bool:
        """Whether there is room behind it."""
        return (self.disk_size - self.start - self.size) * SECTOR > SLACK


def find(root: Path = Path("/"), number: int = NUMBER, sysfs: Path = Path("/sys")) -> Partition | None:
    """The partition of that number on the disk that `root` is on; None where there is none."""
    device = root.stat().st_dev
    here = sysfs / f"dev/block/{os.major(device)}:{os.minor(device)}"
    if not (here / "partition").exists():
        return None
    disk = here.resolve().parent
    for folder in sorted(disk.iterdir()):
        if (folder / "partition").exists() and _number(folder / "partition") == number:
            where = Path("/dev", folder.name), Path("/dev", disk.name)
            return Partition(
                *where, _number(folder / "start"), _number(folder / "size"), _number(disk / "size")
            )
    return None


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def lengthen(partition: Partition, number: int = NUMBER) -> int:
    """Let it reach the disk's end, in the table of partitions; its size then. Raises RdvError."""
    # The other partitions are in use, which sfdisk would refuse; it changes this one's line alone.
    options = ["--quiet", "--no-reread", "--no-tell-kernel", "--force", "-N", str(number)]
    run(["sfdisk", *options, str(partition.disk)], stdin=", +\n")
    shown = ["--raw", "--noheadings", "--output", "SECTORS", "--nr", str(number)]
    return int(run(["partx", *shown, str(partition.disk)]))


def tell_kernel(partition: Partition, size: int, number: int = NUMBER) -> None:
    """The kernel has the partition that long from now on. Raises OSError.

    partx --update takes it away and adds it. udev tells of that when all else of a boot has been
    told, and systemd then stops what has been mounted from it. Not every release's util-linux has
    a program that does just this.
    """
    told = array("B", _PARTITION.pack(partition.start * SECTOR, size * SECTOR, number, b"", b""))
    address, length = told.buffer_info()
    arguments = struct.pack("@iiiP", _RESIZE_PARTITION, 0, length, address)
    with partition.disk.open("rb") as disk:
        fcntl.ioctl(disk, _BLKPG, arguments)


def mend(device: Path) -> str | None:
    """Check its file system and mend it; made anew where that is beyond mending, and why is returned.

    Raises RdvError where e2fsck did not come to its end, or it cannot be made either.
    """
    for how in ("-p", "-y"):
        checked = run_to_end(["e2fsck", how, str(device)], deadline=CHECK_SECONDS)
        if checked.status in _MENDED:
            return None
        if checked.status not in _BEYOND_MENDING:
            raise checked.error()
    _look_through(device)
    run(["mkfs.ext4", "-q", "-F", *MAKE, str(device)], deadline=CHECK_SECONDS)
    return str(checked.error())


def _look_through(device: Path) -> None:
    """A card that cannot be read is not made anew: it may be read the next time. Raises RdvError.

    Not all of it, which takes an hour of a large card: where each block group begins.
    """
    try:
        with device.open("rb", buffering=0) as file:
            for place in range(0, file.seek(0, os.SEEK_END), _STRIDE):
                os.pread(file.fileno(), _LOOK, place)
    except OSError as error:
        raise RdvError(f"cannot read {device}: {error.strerror}", "is the card broken?") from None


def grow(partition: Partition, where: Path = WHERE) -> None:
    """Let the file system that is mounted at `where` fill the partition. Raises OSError.

    resize2fs asks the first place at which the device is mounted, and there are others, which are
    read-only in the sandbox of the unit.
    """
    descriptor = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        blocks = partition.size * SECTOR // os.fstatvfs(descriptor).f_bsize
        fcntl.ioctl(descriptor, _RESIZE, struct.pack("=Q", blocks))
    finally:
        os.close(descriptor)


def check(partition: Partition, kept: Path = outcome.FILE) -> None:
    """Let it reach the card's end, and mend it; where it was made anew, `kept` has why, for the report.

    Raises OSError and RdvError where it cannot be used.
    """
    if partition.may_grow:
        tell_kernel(partition, lengthen(partition))
        print(f"{partition.device} reaches the card's end now")
    if why := mend(partition.device):
        print(f"{partition.device} was made anew: {why}", file=sys.stderr)
        outcome.write(replace(outcome.read(kept), remade=why), kept)


def _check() -> None:
    partition = find()
    if partition is None:
        raise RdvError(f"the disk of the root has no partition {NUMBER}", "was this image made by image/?")
    check(partition)


def _grow() -> None:
    partition = find()
    if partition is not None:
        grow(partition)


def main() -> int:
    """Entry of /usr/lib/tundev/data: check, or grow."""
    checking = sys.argv[1] == "check"
    try:
        _check() if checking else _grow()
    except (OSError, RdvError) as error:
        print(f"tundev-data: {error}", file=sys.stderr)
        if checking:
            outcome.write(replace(outcome.read(), broken=str(error)))
        return 1
    return 0
