"""A Debian root for arm64, made on a machine of another architecture.

Its programs run here as those of an image that is built do (image/emulation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from image.emulation import emulating
from image.recipe import Arch
from tests.lab.debian import Recipe, kept_root, our_depends

ARCHITECTURE = Arch.ARM64
CACHE = Path("/var/cache/tundev/arm64")

# fmt: off
PACKAGES = [
    "systemd", "systemd-sysv", "libpam-systemd", "dbus", "kmod", "procps", "iproute2",
    "linux-image-arm64", "busybox-static", "qemu-guest-agent", "nftables",
]
# What here only costs time and space.
LEFT_OUT = [
    "/etc/kernel/postinst.d/initramfs-tools",
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*",
    *(f"/lib/modules/*/kernel/{unused}/*" for unused in (
        "sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/iio", "drivers/scsi",
        "drivers/staging", "drivers/net/ethernet", "drivers/net/wireless",
    )),
]
# fmt: on

# Under emulation an initramfs takes over ten minutes; image/initrd.py makes one. Without
# the kernel's hook, left out above, none is made with it, and by this setting none at an update. It is
# there before initramfs-tools is, which must not ask about it.
_BEGIN = r"""
printf '%s\n' force-confold {excludes} > "$1/etc/dpkg/dpkg.cfg.d/image"
mkdir -p "$1/etc/initramfs-tools"
echo update_initramfs=no > "$1/etc/initramfs-tools/update-initramfs.conf"
"""

# No host's identity, no network of the build, no timers that want the internet.
_FINISH = r"""
rm -f "$1/etc/resolv.conf" "$1/etc/hostname" "$1/var/lib/dbus/machine-id" "$1/etc/dpkg/dpkg.cfg.d/image"
: > "$1/etc/machine-id"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$1/etc/hosts"
for timer in apt-daily.timer apt-daily-upgrade.timer; do
    ln -sf /dev/null "$1/etc/systemd/system/$timer"
done
"""


def recipe(packages: Sequence[str]) -> Recipe:
    """What the root is made from that `packages` of ours can be installed in without network."""
    excludes = " ".join(f"'path-exclude={pattern}'" for pattern in LEFT_OUT)
    return Recipe(
        packages=tuple(sorted({*PACKAGES, *our_depends(packages)})),
        begin=_BEGIN.format(excludes=excludes),
        finish=_FINISH,
        architecture=ARCHITECTURE,
    )


def foreign_root(packages: Sequence[str], *, fresh: bool = False) -> Path:
    """The root for `packages` of ours, without them; made, in minutes, if there is none yet."""
    return kept_root(recipe(packages), CACHE, within=emulating([], ARCHITECTURE), fresh=fresh)
