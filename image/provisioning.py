"""`image/provision`: an image with one device's tundev.toml on its boot partition.

The same as copying the file there by hand, but that it is checked before the card travels.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from image import layout as places
from image.assemble import put
from image.check_command import role_of
from image.deliver import unpacked
from tundev import config
from tundev.firstboot.boot_partition import BUNDLE, SIZE_LIMIT
from tundev.firstboot.taking_over import Found, plan
from vtunlib.errors import AlreadyExists, ConfigError, NotFound, RdvError, UsageError
from vtunlib.run import run

EXAMPLES = """\
examples:
  image/provision dist/tundev-onsite-arm64.img.xz --bundle rpi1100.toml -o rpi1100.img
  image/provision card.img --bundle rpi1200.toml -o rpi1200.img

The bundle is what `rdv-admin device add --bundle` wrote. It holds a key that enrols the
device once: keep the card image as you would keep the key, and write it to one card only.
"""


def checked(bundle: Path, image: Path) -> str:
    """The bundle's text. Raises RdvError where a device of this image could not take it."""
    try:
        with bundle.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no bundle {bundle}", "rdv-admin device add --bundle writes one") from None
    except OSError as error:
        raise RdvError(f"cannot read {bundle}: {error.strerror}") from None
    # The device's own decision, for one that has nothing yet.
    made = plan(Found(card=data), str(bundle))
    found = config.parse(made.config.decode(), str(bundle))
    text = data.decode()  # every byte of it: with its mark, where Windows has set one
    try:
        role = role_of(image)
    except UsageError:  # a card whose name was chosen by its user
        return text
    if getattr(found, role) is None and (found.onsite or found.master):
        raise ConfigError(f"{bundle} is not for an {role}: it has no [{role}]", "take the image of its role")
    return text


def provision(image: Path, text: str, card: Path) -> None:
    """Write `card`: the image, with `text` as its device's configuration. Raises RdvError, OSError."""
    if not image.is_file():
        raise NotFound(f"there is no image {image}", "build one: make image ROLE=onsite")
    if card.exists():
        raise AlreadyExists(f"{card} is there already", "remove it, or take another name")
    part = card.with_name(f".{card.name}.part")
    # It holds the device's one-time key.
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.close(descriptor)
    try:
        _copy(image, part)
        try:
            layout = places.read(part)
        except ValueError as error:
            raise UsageError(f"{image} is no image of ours: {error}") from None
        boot = f"{part}@@{layout.partitions[0].start}"
        # -o: a question of mcopy's would have nobody to answer it.
        run(["mcopy", "-o", "-i", boot, "-", f"::/{BUNDLE}"], stdin=text, deadline=120)
        # A link would do it at once, but FAT has none: the name is taken first, where nobody has it yet.
        os.close(os.open(card, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        part.replace(card)
    except FileExistsError:
        raise AlreadyExists(f"{card} is there already", "remove it, or take another name") from None
    finally:
        part.unlink(missing_ok=True)


def _copy(image: Path, target: Path) -> None:
    if image.suffix == ".xz":
        unpacked(image, target)
        return
    os.truncate(target, image.stat().st_size)
    put(image, target, 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="image/provision",
        description="Make one device's card image: check its bundle, put it on the image's boot partition.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help=".img or .img.xz")
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE", help="the device's tundev.toml")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="CARD", help="must not exist yet")
    options = parser.parse_args(arguments)
    try:
        provision(options.image, checked(options.bundle, options.image), options.output)
    except RdvError as error:
        print(f"image/provision: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"image/provision: cannot write {options.output}: {error.strerror}", file=sys.stderr)
        return RdvError.exit_code
    print(f"{options.output}: write it to a card, it enrols at its first boot with a network")
    return 0


if __name__ == "__main__":
    sys.exit(main())
