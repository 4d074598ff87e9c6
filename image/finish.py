"""What an image's root is rid of, and given, last of all: nothing of the builder, nothing of one device."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from image import inventory, started
from image.layout import BOOT_PATH, Layout
from image.recipe import Base, Recipe
from tundev.firstboot.boot_partition import STATUS
from vtunlib.run import run
from vtunlib.tunnel import Role

DEVICES = (
    *("etc/ssh/ssh_host_*", "etc/tundev/id_ed25519*", "etc/tundev/tundev.toml", "var/lib/NetworkManager/*"),
    *("var/lib/dbus/machine-id", "var/lib/systemd/random-seed"),
)
"""One device's own, by patterns of Path.glob: made when it first boots."""
BUILDERS = ("etc/dpkg/dpkg.cfg.d/99mmdebstrap", "usr/bin/qemu-*-static", "root/.bash_history")
"""The builder's, with what mmdebstrap has dpkg do."""
LEFT = (
    *(
        "var/cache/apt/*.bin",
        "var/cache/apt/archives/*.deb",
        "var/lib/apt/lists/*",
        "var/cache/debconf/*-old",
    ),
    *("var/lib/dpkg/*-old", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/sub?id-"),
    *("var/log/*.log", "var/log/apt/*", "var/log/journal/*", "tmp/*", "var/tmp/*", "run/*"),
)
"""What packages and their installation leave."""
_REPLACED = ("etc/machine-id", "etc/resolv.conf", "etc/hostname")
"""The builder's too, and given anew by `finish`."""

_CONSOLES = {Base.RPIOS: "console=serial0,115200 console=tty1", Base.DEBIAN: ""}

# Read by raspi-firmware when it writes config.txt and cmdline.txt. CMA=0 leaves the contiguous memory to
# the kernel's own choice: with a size set a Pi 4 may not boot.
_RASPI_FIRMWARE = """\
ROOTPART=PARTUUID={root}
CONSOLES="ttyS1,115200 tty0"
CMA=0
"""
# After what raspi-firmware writes itself (`rw`, `net.ifnames=0`): the last word counts. With more than
# one adapter only names by port or MAC address stay the same from boot to boot.
_EXTRA_CMDLINE = "ro net.ifnames=1 quiet\n"


def strip(root: Path) -> None:
    """Take out of `root` what is no image's."""
    for pattern in (*DEVICES, *BUILDERS, *LEFT, *_REPLACED):
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def names(role: Role) -> dict[str, str]:
    """The files that say what a device is called before its own file does, and their texts."""
    name = f"tundev-{role}"
    return {
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n",
    }


def mask_strangers(root: Path, role: Role) -> None:
    """Mask the units that packages start by links of their own, which no preset undoes."""
    owned = inventory.owners(root)
    links = (str(path.relative_to(root)) for path in root.glob("usr/lib/systemd/system/*.*/*"))
    for unit in started.unwanted(started.by_packages(links, owned), role):
        mask = root / started.ETC / unit
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")


def finish(root: Path, recipe: Recipe, layout: Layout, version: str) -> None:
    """Make `root`, stripped, the one of the image."""
    # Empty, not absent: systemd then neither takes the boot for the first one nor wants to write it.
    (root / "etc/machine-id").touch(mode=0o444)
    for path, text in names(recipe.role).items():
        _write(root / path, text)
    mask_strangers(root, recipe.role)
    # The root is read-only: NetworkManager keeps the DNS servers in /run.
    (root / "etc/resolv.conf").symlink_to("/run/NetworkManager/resolv.conf")
    _write(root / "etc/fstab", layout.fstab())
    # pi-gen sets it aside while programs run by emulation, and its own export puts it back.
    preload = root / "etc/ld.so.preload.disabled"
    if preload.exists():
        preload.rename(root / "etc/ld.so.preload")
    release = root / "usr/lib/os-release"
    lines = [
        line
        for line in release.read_text(encoding="utf-8").splitlines()
        if not line.startswith(("IMAGE_ID=", "IMAGE_VERSION="))
    ]
    lines += [f"IMAGE_ID={recipe.name}", f"IMAGE_VERSION={version}"]
    _write(release, "\n".join(lines) + "\n")
    # systemd sets the clock to no earlier than this file's time when it starts.
    (root / "usr/lib/clock-epoch").touch()
    now = time.time()
    os.utime(root / "usr/lib/clock-epoch", (now, now))
    # Newer than /usr: nothing there is to be updated at a boot, as ldconfig.service would (from trixie on)
    # while the root is writable for a moment.
    for folder in ("etc", "var"):
        (root / folder / ".updated").touch()


def boot_files(root: Path, recipe: Recipe, layout: Layout) -> None:
    """Make the boot partition's files in the root's folder for it."""
    boot = root / BOOT_PATH
    boot.mkdir(parents=True, exist_ok=True)
    # There from the beginning: a power cut while a FAT file is made may lose it.
    _write(boot / STATUS, "This device was not switched on yet.\r\n")
    partuuid = layout.partuuid(2)
    if recipe.base == Base.RPIOS:
        words = (
            f"{_CONSOLES[recipe.base]} root=PARTUUID={partuuid} ro rootfstype=ext4 fsck.repair=yes rootwait"
        )
        _write(boot / "cmdline.txt", f"{words} quiet\n")
        # Made when there was not much of the system, and taken by the firmware where it is there. The
        # kernel finds its root without: it has the drivers of a board's cards and disks built in.
        for initrd in boot.glob("initramfs*"):
            initrd.unlink()
        return
    _write(root / "etc/default/raspi-firmware", _RASPI_FIRMWARE.format(root=partuuid))
    _write(root / "etc/default/raspi-extra-cmdline", _EXTRA_CMDLINE)
    hook = "DEB_MAINT_PARAMS=configure exec /etc/kernel/postinst.d/z50-raspi-firmware"
    # By /proc it knows that it runs in a chroot, and does not ask for a mounted boot partition.
    run(["mount", "-t", "proc", "proc", str(root / "proc")])
    try:
        run(["chroot", str(root), "/bin/sh", "-c", hook], deadline=300)
    finally:
        run(["umount", str(root / "proc")])


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
