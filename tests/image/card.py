"""A device's card: the image of its role, built by the product's stages, provisioned, ready for QEMU.

Only pi-gen itself is stood in for (tests/image/pi-gen): it is not to be had everywhere, and it
copies the whole root for each stage. An image is kept by what it was made from, and so is each stage.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from image.build import build, packages_in
from image.layout import BOOT_PATH, MIB
from image.layout import read as layout_of
from image.provisioning import provision
from image.recipe import CONFIG, REPOSITORY, Base, Recipe
from tests.lab.debian import forget_old, held
from tests.lab.process import LabError, run
from tests.lab.roles import DIST
from vtunlib.tunnel import Role

CACHE = Path("/var/cache/tundev/image")
STAND_IN = Path(__file__).with_name("pi-gen")
ROOM = 256 * MIB  # on a card, behind the image
KEPT = 4  # images of a role that stay, for what may still copy them


@dataclass(frozen=True)
class Disk:
    """What QEMU boots."""

    image: Path
    kernel: Path
    initrd: Path
    command_line: str
    kept: bool = True
    """Whether a guest's own writes stay: it is the test's own copy."""

    @property
    def drive(self) -> str:
        """What QEMU's -drive says of it."""
        return f"format=raw,snapshot={'off' if self.kept else 'on'},file={self.image}"


def image_of(role: Role, dist: Path = DIST) -> Path:
    """The checked image of the packages in `dist`; in minutes, where it is not there yet."""
    recipe = Recipe(role, base=Base.DEBIAN)
    kept = CACHE / "images" / f"{role}-{_key(_sources(recipe, dist))}" / f"{recipe.name}.img"
    with held(CACHE):
        if not kept.exists():
            print(f"lab: building the image of an {role} (once for these packages)", flush=True)
            made = build(recipe, dist, CACHE / recipe.system, _lay_out)
            kept.parent.mkdir(parents=True, exist_ok=True)
            made.rename(kept)
            forget_old(kept.parent.parent.glob(f"{role}-*"), kept.parent, KEPT)
        os.utime(kept.parent)
    return kept


def _sources(recipe: Recipe, dist: Path) -> list[Path]:
    """The files that an image is made from, besides what a mirror has."""
    folders = (CONFIG, REPOSITORY / "image", STAND_IN)
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix not in {".pyc", ".md"}]
    return [*packages_in(recipe, dist), *sorted(path for path in files if path.is_file())]


def _key(sources: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"\n{source.name}\n".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _lay_out(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(STAND_IN, target)


def card_of(image: Path, bundle: str, folder: Path) -> Disk:
    """A card larger than the image, with the bundle on its boot partition: `card.img` in the folder."""
    card = folder / "card.img"
    provision(image, bundle, card)
    os.truncate(card, card.stat().st_size + ROOM)
    return Disk(card, *boot_files(card, folder))


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
