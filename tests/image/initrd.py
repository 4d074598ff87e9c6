"""An initrd that mounts the root and goes over to it: busybox and the modules that this takes.

Debian's kernel has the disk and its file system as modules. initramfs-tools would need
the foreign programs; this needs only files of the root.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab.process import LabError, run

# ext4 asks for crc32c only when it mounts: modules.dep does not know of it.
MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")

_INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /new
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in MODULES; do
    /bin/busybox insmod "/modules/$module" || echo "initrd: $module was not loaded"
done
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; esac
done
/bin/busybox umount /proc
/bin/busybox mount -t ext4 "$root" /new || exec /bin/busybox poweroff -f
/bin/busybox mount --move /dev /new/dev
exec /bin/busybox switch_root /new /sbin/init
"""


def kernel_of(root: Path) -> Path:
    """The kernel that is installed in the root."""
    found = sorted(root.glob("boot/vmlinuz-*"))
    if len(found) != 1:
        raise LabError(f"{len(found)} kernels in {root}/boot, expected one")
    return found[0]


def loading_order(listing: str, wanted: tuple[str, ...]) -> list[str]:
    """Paths of the modules and of all that they need, as a modules.dep(5) has them, the needed ones first."""
    needs = {}
    for line in listing.splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    names = {Path(path).name.partition(".")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in wanted:
        if name not in names:
            raise LabError(f"the kernel has no module {name}")
        path = names[name]
        # modules.dep lists what a module needs in the order of its removal.
        order += [module for module in [*reversed(needs[path]), path] if module not in order]
    return order


def make_initrd(root: Path, target: Path, work: Path) -> None:
    """Write the initrd of the root's kernel to `target`; `work` is an empty folder."""
    version = kernel_of(root).name.removeprefix("vmlinuz-")
    modules = root / "lib/modules" / version
    order = loading_order((modules / "modules.dep").read_text(encoding="ascii"), MODULES)
    for folder in ("bin", "dev", "modules"):
        (work / folder).mkdir()
    shutil.copy2(root / "bin/busybox", work / "bin/busybox")
    for path in order:
        shutil.copy2(modules / path, work / "modules")
    init = work / "init"
    init.write_text(_INIT.replace("MODULES", " ".join(Path(path).name for path in order)), encoding="ascii")
    init.chmod(0o755)
    names = "\n".join(str(path.relative_to(work)) for path in sorted(work.rglob("*")))
    pack = ["cpio", "--create", "--quiet", "--format=newc", f"--directory={work}", f"--file={target}"]
    run(pack, stdin=f"{names}\n")
