"""pi-gen's last step, in place of its own export: from the product's root to the files in dist/.

Run by pi-gen-config/export with pi-gen's environment. Tells its steps as pi-gen does, so
that the build knows where it is.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from image import checks
from image.assemble import assemble, used_by
from image.deliver import deliver
from image.finish import boot_files, finish, strip
from image.initrd import kernel_of, make_initrd
from image.layout import Layout, root_size
from image.recipe import Arch, Base, Recipe, Release
from vtunlib.errors import RdvError
from vtunlib.tunnel import Role


@contextmanager
def step(name: str) -> Iterator[None]:
    """One step of the export, told when it begins and when it has ended well."""
    path = f"{os.environ['STAGE_DIR']}/{name}"
    print(f"[{datetime.now():%H:%M:%S}] Begin {path}", flush=True)  # noqa: DTZ005  # pi-gen's form
    yield
    print(f"[{datetime.now():%H:%M:%S}] End {path}", flush=True)  # noqa: DTZ005


def version_of(dist: Path) -> str:
    """That of our packages. Raises RdvError where there are none."""
    for deb in dist.glob("tundev-common_*.deb"):
        return deb.name.split("_")[1]
    raise RdvError(f"no tundev-common in {dist}", "build the packages: make deb")


def export(recipe: Recipe, root: Path, work: Path, dist: Path, into: Path | None) -> list[Path]:
    """Make the image of `root`, check it, deliver it into a folder; its files. Raises RdvError."""
    version = version_of(dist)
    image = work / f"{recipe.name}.img"
    with step("finish"):
        strip(root)
        layout = Layout(secrets.randbits(32), root_size(used_by(root)))
        finish(root, recipe, layout, version)
    with step("boot"):
        if recipe.base == Base.DEBIAN:
            # Beside the kernel, by the name under which raspi-firmware looks for it.
            kernel = kernel_of(root)
            made = kernel.with_name(kernel.name.replace("vmlinuz", "initrd.img"))
            make_initrd(root, made, work / "initrd.d")
        boot_files(root, recipe, layout)
    with step("assemble"):
        assemble(root, layout, image, work / "parts")
    with step("check"):
        checks.accept(image, recipe.role, work / "check")
    if not into:
        return [image]
    with step("deliver"):
        return deliver(image, recipe, root, into, version)


def main() -> int:
    """The export's command; its exit status is pi-gen's."""
    env = os.environ
    recipe = Recipe(
        Role(env["TUNDEV_ROLE"]), Arch(env["TUNDEV_ARCH"]), Base(env["TUNDEV_BASE"]), Release(env["RELEASE"])
    )
    root, work = Path(env["ROOTFS_DIR"]), Path(env["STAGE_WORK_DIR"])
    into = Path(env["TUNDEV_INTO"]) if env["TUNDEV_INTO"] else None
    try:
        files = export(recipe, root, work, Path(env["TUNDEV_DIST"]), into)
    except RdvError as error:
        print(f"image: {error}", file=sys.stderr)
        return error.exit_code
    for file in files:
        print(f"image: made {file} ({file.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
