"""The initrd of Debian's kernel, made from the root's own files: busybox and the modules that a disk takes.

initramfs-tools would need the device's programs, which take over ten minutes by emulation.
Raspberry Pi's kernel has all of this built in and gets no initrd.
"""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Sequence
from pathlib import Path

from vtunlib.errors import NotFound
from vtunlib.run import run

MODULES = (
    # The card of a Pi 4 (and of a 3, where the firmware gives it that controller), and a Pi 3's.
    *("sdhci_iproc", "bcm2835", "fixed", "gpio_regulator"),
    # A disk on USB: a Pi 4's controller is on PCIe, a Pi 3's is its own.
    *("xhci_pci", "dwc2", "usb_storage", "uas", "sd_mod"),
    # QEMU's machine.
    *("virtio_pci", "virtio_mmio", "virtio_blk"),
    # ext4 asks for crc32c only when it mounts: modules.dep does not know of it.
    *("crc32c_generic", "ext4"),
)

# The root is known by the disk's signature, four bytes at 440 of its first sector, and the partition's
# number: PARTUUID as the kernel itself reads it, which has no way to tell an initrd before Linux 6.15.
_INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /new
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
for module in MODULES; do
    /bin/busybox insmod "/modules/$module" || echo "initrd: $module was not loaded"
done

root= mode=ro
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; ro | rw) mode=$word ;; esac
done

# Prints the device that $root names, if it is there.
find_root() {
    case $root in
        PARTUUID=*) ;;
        *) [ ! -b "$root" ] || echo "$root"; return ;;
    esac
    wanted=${root#PARTUUID=}
    for disk in /sys/block/*; do
        name=${disk##*/}
        signature=$(/bin/busybox dd if="/dev/$name" bs=1 skip=440 count=4 2>/dev/null |
            /bin/busybox hexdump -v -e '1/4 "%08x"')
        [ "$signature" = "${wanted%-*}" ] || continue
        for partition in "$disk/$name"*/partition; do
            [ -e "$partition" ] || continue
            number=$(/bin/busybox printf '%02x' "$(/bin/busybox cat "$partition")")
            [ "$number" = "${wanted#*-}" ] || continue
            device=${partition%/partition}
            echo "/dev/${device##*/}"
            return
        done
    done
}

# Cards and USB disks appear when they are ready, and there is no udev to wait for.
left=600
while device=$(find_root); [ -z "$device" ] && [ $left -gt 0 ]; do
    left=$((left - 1))
    /bin/busybox usleep 100000
done
if [ -z "$device" ] || ! /bin/busybox mount -t ext4 -o "$mode,noatime" "$device" /new; then
    echo "initrd: no root file system at ${root:-(none named)}; starting again in 10 s"
    /bin/busybox sleep 10
    /bin/busybox reboot -f
fi
/bin/busybox umount /proc /sys
/bin/busybox mount --move /dev /new/dev
exec /bin/busybox switch_root /new /sbin/init
"""


def kernel_of(root: Path) -> Path:
    """The kernel that is installed in the root. Raises NotFound where there is not just one."""
    found = sorted(root.glob("boot/vmlinuz-*"))
    if len(found) != 1:
        raise NotFound(f"{len(found)} kernels in {root}/boot, expected one")
    return found[0]


def loading_order(listing: str, builtin: str, wanted: Sequence[str]) -> list[str]:
    """Paths of the modules and of all that they need, the needed ones first.

    listing, builtin: modules.dep(5) and modules.builtin. Raises NotFound for what is in neither.
    """
    needs = {}
    for line in listing.splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    names = {_module(path): path for path in needs}
    within = {_module(path) for path in builtin.splitlines()}
    order: list[str] = []
    for name in wanted:
        if name in within:
            continue
        if name not in names:
            raise NotFound(f"the kernel has no module {name}")
        path = names[name]
        # modules.dep lists what a module needs in the order of its removal.
        order += [module for module in [*reversed(needs[path]), path] if module not in order]
    return order


def _module(path: str) -> str:
    return Path(path).name.partition(".")[0].replace("-", "_")


def make_initrd(root: Path, target: Path, work: Path, wanted: Sequence[str] = MODULES) -> None:
    """Write the initrd of the root's kernel to `target`; `work` is a folder for its parts."""
    version = kernel_of(root).name.removeprefix("vmlinuz-")
    modules = root / "lib/modules" / version
    listing, builtin = ((modules / f"modules.{of}").read_text(encoding="ascii") for of in ("dep", "builtin"))
    order = loading_order(listing, builtin, wanted)
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("bin", "dev", "modules"):
        (work / folder).mkdir(parents=True)
    shutil.copy2(root / "bin/busybox", work / "bin/busybox")
    names = [_unpacked(modules / path, work / "modules") for path in order]
    init = work / "init"
    init.write_text(_INIT.replace("MODULES", " ".join(names)), encoding="ascii")
    init.chmod(0o755)
    files = "\n".join(str(path.relative_to(work)) for path in sorted(work.rglob("*")))
    pack = ["cpio", "--create", "--quiet", "--format=newc", f"--directory={work}", f"--file={target}"]
    run([*pack, "--owner=0:0", "--reproducible"], stdin=f"{files}\n")
    shutil.rmtree(work)


def _unpacked(module: Path, folder: Path) -> str:
    """Put a module into the folder, as it is loaded; its name there. From trixie on they are compressed."""
    target = folder / module.name.removesuffix(".xz")
    content = module.read_bytes()
    target.write_bytes(lzma.decompress(content) if module.suffix == ".xz" else content)
    return target.name
