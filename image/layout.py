"""Where things are on a card: four primary partitions, for a Pi 3 knows no other table than MBR.

1 boot (vfat), 2 root (ext4, mounted read-only), 3 free, of the root's size, for the other root of
an A/B upgrade, 4 data (ext4), the last so that the first boot can grow it to the card's end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
SECTOR = 512
START = 8 * MIB
"""Of the first partition; all are aligned to it, as cards' erase blocks (up to 8 MiB) like it."""
BOOT = 512 * MIB
DATA = 64 * MIB
ROOT_STEP = 256 * MIB
ROOT_LEAST = 1280 * MIB
"""Twice this, boot and data fit a card that is sold as 4 GB, with 400 MiB left for data to grow."""

BOOT_LABEL = "bootfs"
ROOT_LABEL = "tundev-root"
BOOT_PATH = "boot/firmware"


@dataclass(frozen=True)
class Partition:
    """start, size: bytes. kind: its MBR type."""

    number: int
    start: int
    size: int
    kind: str

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class Layout:
    """disk_id: the MBR's signature, by which the partitions are known."""

    disk_id: int
    root_size: int

    @property
    def partitions(self) -> tuple[Partition, Partition, Partition, Partition]:
        """boot, root, the other root, data."""
        boot = Partition(1, START, BOOT, "c")
        root = Partition(2, boot.end, self.root_size, "83")
        other = Partition(3, root.end, self.root_size, "83")
        return boot, root, other, Partition(4, other.end, DATA, "83")

    @property
    def size(self) -> int:
        """Of the image, bytes."""
        return self.partitions[-1].end

    def partuuid(self, number: int) -> str:
        """The name of a partition for fstab and kernel."""
        return f"{self.disk_id:08x}-{number:02x}"

    def table(self) -> str:
        """The partition table, for sfdisk."""
        lines = ["label: dos", f"label-id: 0x{self.disk_id:08x}", "unit: sectors"]
        for part in self.partitions:
            place = f"start={part.start // SECTOR}, size={part.size // SECTOR}, type={part.kind}"
            lines.append(f"{place}, bootable" if part.number == 1 else place)
        return "\n".join(lines) + "\n"

    def fstab(self) -> str:
        """Root and boot. What is kept on the data partition is mounted by tundev-image's units.

        A boot partition that cannot be mounted keeps no device from its work, hence nofail; it
        may hold secrets, hence the umask. It is writable only while something is written. It is waited
        for as long as for the data partition (tundev-image's units): its file may be the first one.
        """
        return (
            f"PARTUUID={self.partuuid(2)} / ext4 ro,noatime 0 1\n"
            f"PARTUUID={self.partuuid(1)} /{BOOT_PATH} vfat "
            "ro,noatime,nofail,x-systemd.device-timeout=300,"
            "nosuid,nodev,noexec,umask=0077,errors=remount-ro 0 2\n"
        )


def root_size(used: int) -> int:
    """The size of a root partition whose files take `used` bytes: with room for upgrades of our packages."""
    wanted = used * 5 // 4 + 200 * MIB
    return max(ROOT_LEAST, -(-wanted // ROOT_STEP) * ROOT_STEP)


def read(image: Path) -> Layout:
    """The layout that an image's partition table has. Raises ValueError for another one."""
    with image.open("rb") as disk:
        sector = disk.read(SECTOR)
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
        raise ValueError("no partition table")
    entries = [sector[446 + 16 * i : 462 + 16 * i] for i in range(4)]
    places = [tuple(int.from_bytes(e[at : at + 4], "little") * SECTOR for at in (8, 12)) for e in entries]
    layout = Layout(int.from_bytes(sector[440:444], "little"), places[1][1])
    if places[:3] != [(part.start, part.size) for part in layout.partitions[:3]]:
        raise ValueError("its partitions are not those of our images")
    if places[3][0] != layout.partitions[3].start or places[3][1] < DATA:
        raise ValueError("its data partition is not where that of our images is")
    return layout
