"""A device's card: the image of its role, built by the product's stages, provisioned, ready for QEMU.

Only pi-gen itself is stood in for (tests/card/pi-gen): it is not to be had everywhere.
What its stages made is kept, and made again when what it was made from changes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from image.build import build
from image.layout import BOOT_PATH
from image.layout import read as layout_of
from image.provisioning import provision
from image.recipe import Base, Recipe
from tests.image.disk import Disk
from tests.lab.debian import held
from tests.lab.process import LabError, run
from tests.lab.roles import DIST
from vtunlib import tunnel

CACHE = Path("/var/cache/tundev/image")
STAND_IN = Path(__file__).with_name("pi-gen")


def image_of(role: tunnel.Role, dist: Path = DIST) -> Path:
    """The checked image of the packages in `dist`; in minutes, where it is not there yet."""
    recipe = Recipe(role, base=Base.DEBIAN)
    with held(CACHE):
        return build(recipe, dist, CACHE / recipe.system, _lay_out)


def _lay_out(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(STAND_IN, target)


def card_of(image: Path, bundle: str, folder: Path) -> Disk:
    """The image with the bundle on its boot partition, in `folder`; what a guest writes stays on it."""
    card = folder / "card.img"
    provision(image, bundle, card)
    return Disk(card, *boot_files(card, folder), kept=True)


def boot_files(card: Path, folder: Path) -> tuple[Path, Path, str]:
    """Kernel, initrd and command line, as a board's firmware reads them on the boot partition."""
    boot = folder / BOOT_PATH
    shutil.rmtree(boot, ignore_errors=True)
    boot.mkdir(parents=True)
    partition = f"{card}@@{layout_of(card).partitions[0].start}"
    run(["mcopy", "-n", "-i", partition, "::/vmlinuz*", "::/initrd*", "::/*.txt", str(boot)])
    config = dict(
        line.replace(" ", "=", 1).split("=", 1)
        for line in (boot / "config.txt").read_text().splitlines()
        if line.startswith(("kernel=", "initramfs "))
    )
    kernel, initrd = (boot / config.get(name, "none") for name in ("kernel", "initramfs"))
    for file in (kernel, initrd):
        if not file.is_file():
            raise LabError(f"config.txt of {card} names {file.name}, which is not there")
    return kernel, initrd, (boot / "cmdline.txt").read_text().strip()
