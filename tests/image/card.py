"""A device's card: the image of its role, built by the product's stages, provisioned, ready for QEMU.

Only pi-gen itself is stood in for (tests/image/pi-gen): it is not to be had everywhere, and it
copies the whole root for each stage. An image is kept by what it was made from, and so is each stage.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from image.assemble import written
from image.build import build, packages_in
from image.layout import BOOT_PATH, MIB, SECTOR, Partition
from image.layout import read as layout_of
from image.provisioning import provision
from image.recipe import CONFIG, REPOSITORY, Base, Recipe, keys
from tests.lab.debian import forget_old, held
from tests.lab.process import LabError, run
from tests.lab.roles import DIST
from vtunlib.tunnel import Role

CACHE = Path("/var/cache/tundev/image")
STAND_IN = Path(__file__).with_name("pi-gen")
ROOM = 256 * MIB  # on a card, behind the image
KEPT = 4  # images of a role that stay, for what may still copy them
KEPT_DEBIANS = 3
_DEADLINE = 300.0
# What fsck.fat says of a sound file system, of one that was writable, and of a number that only saves time.
_HARMLESS = re.compile(
    r"|fsck\.fat .*|.*: \d+ files, .*|Leaving filesystem unchanged\."
    r"|Dirty bit is set\. .*|Automatically removing dirty bit\."
    r"|There are differences between boot sector and its backup\.|This is mostly harmless\. .*"
    r"|65:01/00|Not automatically fixing this\."  # that mark
    r"|Free cluster summary .*|Auto-correcting\."
)


@dataclass(frozen=True)
class Disk:
    """What QEMU boots. What the guest writes stays on it."""

    image: Path
    kernel: Path
    initrd: Path
    command_line: str

    @property
    def drive(self) -> str:
        """What QEMU's -drive says of it."""
        return f"format=raw,file={self.image}"


def image_of(role: Role, dist: Path = DIST) -> Path:
    """The checked image of the packages in `dist`; in minutes, where it is not there yet."""
    recipe = Recipe(role, base=Base.DEBIAN)
    kept = CACHE / "images" / f"{role}-{_key(_sources(recipe, dist))}" / f"{recipe.name}.img"
    debian = _debian(recipe)
    with held(debian):
        if not kept.exists():
            print(f"lab: building the image of an {role} (once for these packages)", flush=True)
            made = build(recipe, dist, debian / "build", _lay_out)
            kept.parent.mkdir(parents=True, exist_ok=True)
            made.rename(kept)
            forget_old(kept.parent.parent.glob(f"{role}-*"), kept.parent, KEPT)
            forget_old(CACHE.glob(f"{recipe.system}-*"), debian, KEPT_DEBIANS)
        os.utime(kept.parent)
        os.utime(debian)
    return kept


def _debian(recipe: Recipe) -> Path:
    """Where images on that Debian are built: one folder for each, for it takes longest."""
    stage = CONFIG / "stage-debian"
    key = keys([stage], [recipe.pin().commit, recipe.system], [])[stage.name]
    return CACHE / f"{recipe.system}-{key}"


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
    place = f"{card}@@{partition(card, 1).start}"
    run(["mcopy", "-n", "-i", place, "::/vmlinuz*", "::/initrd*", "::/*.txt", str(boot)])
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


def text_on(card: Path, name: str) -> str:
    """What a file of the boot partition says; LabError without it."""
    return run(["mtype", "-i", f"{card}@@{partition(card, 1).start}", f"::/{name}"]).out


def faults(card: Path, part: Path, *, root: bool = True) -> list[str]:
    """What the file systems' checks find on a card that was pulled out, its journals played back.

    part: a file for copies. root: whether that is looked at too, which takes seconds.
    """
    found = []
    for number, name in ((2, "root"), (4, "data"))[not root :]:
        mountable(card, number, part)
        checked = run(["e2fsck", "-f", "-n", str(part)], deadline=_DEADLINE, check=False)
        if checked.code:
            found.append(f"{name}: {checked.out}{checked.err}")
    copy(card, part, partition(card, 1))
    checked = run(["fsck.vfat", "-n", str(part)], deadline=_DEADLINE, check=False)
    if said := [line for line in checked.out.splitlines() if not _HARMLESS.fullmatch(line.strip())]:
        found.append(f"boot: {said}")
    part.unlink()
    return found


def mountable(card: Path, number: int, part: Path) -> None:
    """Copy an ext4 partition to `part`, and play its journal back as a mount does it."""
    copy(card, part, partition(card, number))
    run(["e2fsck", "-E", "journal_only", "-p", str(part)], deadline=_DEADLINE, check=False)


def partition(card: Path, number: int) -> Partition:
    """As the card's table has it now: the last one grows."""
    place = layout_of(card).partitions[number - 1]
    if number < 4:
        return place
    with card.open("rb") as disk:
        disk.seek(446 + 16 * (number - 1) + 12)
        return Partition(number, place.start, int.from_bytes(disk.read(4), "little") * SECTOR, place.kind)


def copy(source: Path, target: Path, part: Partition | None = None) -> None:
    """The file, or a part of it, its holes left holes."""
    begin, end = (part.start, part.end) if part else (0, source.stat().st_size)
    with source.open("rb") as old, target.open("wb") as new:
        new.truncate(end - begin)
        for first, last in written(old.fileno()):
            at = max(first, begin)
            old.seek(at)
            new.seek(at - begin)
            while at < min(last, end):
                block = old.read(min(MIB, min(last, end) - at))
                if not block:
                    raise LabError(f"{source} became shorter")
                new.write(block)
                at += len(block)
