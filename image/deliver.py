"""What of a finished image goes into dist/: compressed, with checksum, block map, package list, SBOM, and
its entry for Raspberry Pi Imager."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from image import inventory
from image.recipe import Arch, Base, Recipe
from vtunlib import files
from vtunlib.errors import RdvError
from vtunlib.run import run
from vtunlib.tunnel import Role

ICON = Path(__file__).with_name("tundev.png")
"""What the Imager shows beside it, 40 by 40 pixels: tundev.svg, as a browser draws it."""
_DEADLINE = 3600.0
_PRESET = "-1"
"""Of xz, by what 725 MB of an image took of a processor: -0 40 s to 190 MB, -1 78 s to 178, -3 190 s to
171, -6 400 s to 144. zstd would be faster; other programs that write cards than the Imager do not read it."""
_HOLE = 65536
"""Bytes; what is empty and shorter is written."""
_DESCRIBED = {
    Role.ONSITE: ("Remote access: onsite", "The device on the customer's network."),
    Role.MASTER: ("Remote access: master", "The device on the support desk."),
}
_BOARDS = {
    (Base.RPIOS, Arch.ARM64): ["pi5-64bit", "pi4-64bit", "pi3-64bit"],
    (Base.RPIOS, Arch.ARMHF): ["pi5-32bit", "pi4-32bit", "pi3-32bit", "pi2-32bit", "pi1-32bit"],
    (Base.DEBIAN, Arch.ARM64): ["pi4-64bit", "pi3-64bit"],
}


def deliver(image: Path, recipe: Recipe, root: Path, dist: Path, version: str) -> list[Path]:
    """Write the image's files into `dist` and return them, the image first.

    Each is whole or not there, and at no moment is one there beside another image than its own.
    """
    made = datetime.fromtimestamp(image.stat().st_mtime, UTC)
    installed = inventory.packages(root)
    new = dist / f".{recipe.name}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        packed = new / f"{recipe.name}.img.xz"
        shutil.move(pack(image), packed)
        run(["bmaptool", "create", "-o", str(new / f"{recipe.name}.bmap"), str(image)], deadline=_DEADLINE)
        texts = {
            ".img.xz.sha256": f"{_sha256(packed)}  {packed.name}\n",
            ".packages": inventory.listing(installed),
            ".spdx.json": inventory.sbom(recipe.name, version, installed, made),
            ".imager.json": imager_entry(recipe, image, packed, made, version),
        }
        for suffix, text in texts.items():
            (new / f"{recipe.name}{suffix}").write_text(text, encoding="utf-8")
        placed = _publish(packed, [path for path in sorted(new.iterdir()) if path != packed], dist)
    finally:
        shutil.rmtree(new)
    icon = dist / ICON.name
    files.replace(icon, ICON.read_bytes(), mode=0o644)
    return [*placed, icon]


def _publish(packed: Path, others: Sequence[Path], dist: Path) -> list[Path]:
    """Put them in `dist`: what is there of an image of before goes first, all but that image itself."""
    for path in (packed, *others):
        files.sync(path)
    for path in others:
        (dist / path.name).unlink(missing_ok=True)
    files.sync_directory(dist)
    placed = [path.replace(dist / path.name) for path in (packed, *others)]
    files.sync_directory(dist)
    return placed


def pack(image: Path) -> Path:
    """Compress the image; the file is beside it."""
    run(["xz", _PRESET, "--threads=0", "--keep", "--force", str(image)], deadline=_DEADLINE)
    return image.with_name(f"{image.name}.xz")


def imager_entry(recipe: Recipe, image: Path, packed: Path, made: datetime, version: str) -> str:
    """The JSON of a list that Raspberry Pi Imager takes (`--repo`), with this image alone in it.

    Its schema is doc/json-schema/os-list-schema.json of raspberrypi/rpi-imager. The address is the
    file's name below IMAGE_URL, the folder that the images are served from.
    """
    name, description = _DESCRIBED[recipe.role]
    system = "Debian" if recipe.base == Base.DEBIAN else "Raspberry Pi OS"
    served = os.environ.get("IMAGE_URL", "https://rdv.example.com/images").rstrip("/")
    entry = {
        "name": f"{name} ({system} {recipe.release}, {recipe.arch})",
        "description": f"{description} Version {version}.",
        "icon": f"{served}/{ICON.name}",
        "url": f"{served}/{packed.name}",
        "extract_size": image.stat().st_size,
        "extract_sha256": _sha256(image),
        "image_download_size": packed.stat().st_size,
        "image_download_sha256": _sha256(packed),
        "release_date": made.date().isoformat(),
        # Nothing for the Imager to set: a device's configuration is its tundev.toml.
        "init_format": "none",
        "devices": _BOARDS[recipe.base, recipe.arch],
    }
    return json.dumps({"os_list": [entry]}, indent=2) + "\n"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpacked(packed: Path, target: Path) -> None:
    """Unpack a compressed image to `target`, its empty stretches left holes. Raises RdvError, OSError."""
    # Not by xz: it names what it unpacks after its source, and FAT has no links to give that another name.
    with lzma.open(packed) as source, target.open("wb") as made:
        try:
            while block := source.read(_HOLE):
                if block.count(0) == len(block):
                    made.seek(len(block), os.SEEK_CUR)
                else:
                    made.write(block)
        except (lzma.LZMAError, EOFError) as error:
            raise RdvError(
                f"cannot unpack {packed}: {error}", "sha256sum --check tells whether the file is whole"
            ) from None
        made.truncate()
