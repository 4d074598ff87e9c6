"""The disk of a device: our packages installed in the foreign root, made into a file system.

Nothing is mounted but an overlay, in a namespace of its own, and no program of the
foreign architecture runs but dpkg with the packages' scripts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from image import initrd
from image.emulation import emulating
from tests.image.card import Disk
from tests.image.foreign import ARCHITECTURE, CACHE, foreign_root
from tests.lab.debian import forget_old, held
from tests.lab.process import run
from tests.lab.roles import DIST, PACKAGES, Role, packages_of

KEPT = 2  # disks of former packages that stay
SIZE = "2G"  # sparse
# Those of an image that QEMU needs.
MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")

# The guest agent would tell of each time that it was asked whether a command has ended.
# $1 the root, $2 a folder for what is written above it, $3 the disk's file, $4 its size, then the packages.
_INSTALL = r"""
set -eu
root=$1 above=$2 disk=$3 size=$4
shift 4
mkdir "$above/upper" "$above/work" "$above/merged"
new=$above/merged
mount -t overlay -o "lowerdir=$root,upperdir=$above/upper,workdir=$above/work" overlay "$new"
mount -t proc proc "$new/proc"
mkdir "$new/debs"
cp "$@" "$new/debs"
chroot "$new" sh -c 'DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io --install /debs/*.deb'
rm -r "$new/debs"
quiet=$new/etc/systemd/system/qemu-guest-agent.service.d
mkdir "$quiet"
printf '[Service]\nLogLevelMax=notice\n' > "$quiet/quiet.conf"
umount "$new/proc"
mke2fs -q -t ext4 -O ^has_journal -L root -d "$new" "$disk" "$size"
"""


def disk_of(role: Role, dist: Path = DIST) -> Disk:
    """A device with the role's built packages, not yet configured; made if there is none of these."""
    root = foreign_root(PACKAGES[role])
    debs = packages_of(role, dist)
    folder = root.parent / "disks" / f"{role}-{_key(debs)}"
    with held(CACHE):
        if not folder.is_dir():
            _make(root, folder, debs)
            forget_old(folder.parent.glob(f"{role}-*"), folder, KEPT)
        os.utime(folder)
    command_line = f"root=/dev/vda rw systemd.hostname={role}"
    return Disk(folder / "disk", folder / "kernel", folder / "initrd", command_line, kept=False)


def _key(debs: Sequence[Path]) -> str:
    """Of everything that the disk is made from, besides the root below it."""
    digest = hashlib.sha256(_INSTALL.encode())
    for source in (*debs, Path(initrd.__file__)):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _make(root: Path, folder: Path, debs: Sequence[Path]) -> None:
    print(f"lab: making the disk of {folder.name} (once for these packages)", flush=True)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    above, work = part / "above", part / "initrd.d"
    above.mkdir(parents=True)
    script = ["sh", "-c", _INSTALL, "sh", str(root), str(above), str(part / "disk"), SIZE, *map(str, debs)]
    run(emulating(script, ARCHITECTURE), deadline=600)
    shutil.copy2(initrd.kernel_of(root), part / "kernel")
    initrd.make_initrd(root, part / "initrd", work, MODULES)
    shutil.rmtree(above)
    part.rename(folder)
