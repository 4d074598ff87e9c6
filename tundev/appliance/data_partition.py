"""The data partition: the one place of a card that lasts and is written to.

Before it is mounted it is checked, and let reach the card's end. What e2fsck cannot
mend is made anew, empty: the device then takes the boot partition's file over again.
While it is mounted its file system is let grow, which the kernel's journal makes
safe against a power cut; the table of partitions is one sector, whole or as before.

It never touches another partition than that of its number, on the root's own disk.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tundev.firstboot import outcome
from vtunlib.errors import RdvError
from vtunlib.run import run

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
_MENDED = (0, 1, 2)
"""e2fsck(8): no errors; errors corrected; and a reboot is asked for, which counts for a mounted one."""


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


def lengthen(partition: Partition, number: int = NUMBER) -> None:
    """Let it reach the disk's end, in the table of partitions. Raises RdvError."""
    # The other partitions are in use, which sfdisk would refuse; it changes this one's line alone.
    options = ["--quiet", "--no-reread", "--no-tell-kernel", "--force", "-N", str(number)]
    run(["sfdisk", *options, str(partition.disk)], stdin=", +\n")


def mend(device: Path) -> str | None:
    """Check its file system and mend it; made anew where that is beyond mending, and why is returned.

    Raises RdvError where it cannot be made either.
    """
    why = None
    for how in ("-p", "-y"):
        try:
            run(["e2fsck", how, str(device)], deadline=CHECK_SECONDS, good=_MENDED)
        except RdvError as error:
            why = str(error)
        else:
            return None
    _read_through(device)
    run(["mkfs.ext4", "-q", "-F", *MAKE, str(device)], deadline=CHECK_SECONDS)
    return why


def _read_through(device: Path) -> None:
    """A card that cannot be read is not made anew: it may be read the next time. Raises RdvError."""
    try:
        with device.open("rb") as file:
            file.read(1 << 20)
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


def _check() -> None:
    partition = find()
    if partition is None:
        raise RdvError(f"the disk of the root has no partition {NUMBER}", "was this image made by image/?")
    if partition.may_grow:
        lengthen(partition)
        run(["partx", "--update", "--nr", str(NUMBER), str(partition.disk)])
        print(f"{partition.device} reaches the card's end now")
    if why := mend(partition.device):
        print(f"{partition.device} was made anew: {why}", file=sys.stderr)
        outcome.write(replace(outcome.read(), remade=why))


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
