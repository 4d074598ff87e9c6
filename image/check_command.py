"""`image/check IMAGE`: whether an image, compressed or not, is fit to be given away."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from image.checks import check
from image.deliver import unpacked
from vtunlib.errors import FaultFound, NotFound, RdvError, UsageError
from vtunlib.tunnel import Role

EXAMPLES = """\
examples:
  image/check dist/tundev-onsite-arm64.img.xz
  image/check --role master --json card.img

A card that a device has booted from has its identity, and is no image any more.
"""


def role_of(image: Path) -> Role:
    """The role that an image's name tells. Raises UsageError where it tells none."""
    for role in Role:
        if f"-{role}-" in image.name:
            return role
    raise UsageError(
        f"the name {image.name} does not tell the role", "say it: --role onsite or --role master"
    )


def faults_of(image: Path, role: Role) -> list[str]:
    """All faults of an image. Raises RdvError where there is none to read."""
    if not image.is_file():
        raise NotFound(f"there is no image {image}", "build one: make image ROLE=onsite")
    with tempfile.TemporaryDirectory(dir=image.parent, prefix=".check-") as folder:
        plain = image
        if image.suffix == ".xz":
            plain = Path(folder) / image.stem
            unpacked(image, plain)
        return check(plain, role, Path(folder) / "contents")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="image/check",
        description="Tell every fault of an image: keys, passwords, services, rights, size.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help=".img or .img.xz")
    parser.add_argument("--role", choices=list(map(str, Role)), help="where the file's name does not tell it")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    try:
        role = Role(options.role) if options.role else role_of(options.image)
        faults = faults_of(options.image, role)
    except RdvError as error:
        print(f"image/check: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps({"image": str(options.image), "role": role, "faults": faults}))
    else:
        print("\n".join(faults) if faults else f"{options.image}: no fault")
    return FaultFound.exit_code if faults else 0


if __name__ == "__main__":
    sys.exit(main())
