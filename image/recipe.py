"""What an image is made from: role, architecture, base, release; and by them pi-gen's commit and the stages.

A stage is done again when its key changes: that of everything it, and what is below it, is
made from. What a mirror has at the time is not part of it.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vtunlib.errors import UsageError
from vtunlib.tunnel import Role

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = REPOSITORY / "pi-gen-config"
PIGEN_STAGES = ("stage0", "stage1", "stage2")
"""Of pi-gen's own: the system that Raspberry Pi OS Lite is."""
SHARED_PACKAGES = ("python3-vtunlib", "tundev-common", "tundev-image")
"""Ours that are in both roles' images: what these depend on is installed once for both."""


class Arch(StrEnum):
    """Debian's name of the architecture."""

    ARM64 = "arm64"
    ARMHF = "armhf"


class Base(StrEnum):
    """Whose kernel and firmware: Raspberry Pi OS for every board, Debian for Pi 3 and 4."""

    RPIOS = "rpios"
    DEBIAN = "debian"


class Release(StrEnum):
    """Debian's, and so Raspberry Pi OS's."""

    BOOKWORM = "bookworm"
    TRIXIE = "trixie"


@dataclass(frozen=True)
class Pin:
    """pi-gen as it was when our stages were last tried with it."""

    repository: str
    branch: str
    commit: str


@dataclass(frozen=True)
class Recipe:
    """One image. Raises UsageError for what cannot be built."""

    role: Role
    arch: Arch = Arch.ARM64
    base: Base = Base.RPIOS
    release: Release = Release.BOOKWORM

    def __post_init__(self) -> None:
        if self.base == Base.DEBIAN and self.arch != Arch.ARM64:
            raise UsageError(
                f"no Debian base for {self.arch}: its kernel for 32 bits does not start a Pi 3 or 4",
                "build BASE=rpios for armhf",
            )
        if self.release == Release.TRIXIE and self.arch != Arch.ARM64:
            raise UsageError(
                f"no vtun for {self.release} on {self.arch}: bookworm's was built for a time of 32 bits",
                "build RELEASE=bookworm for armhf",
            )

    @property
    def name(self) -> str:
        """Of the image, its files and its build folder."""
        base = "-debian" if self.base == Base.DEBIAN else ""
        return f"tundev-{self.role}-{self.arch}{base}{self._suffix}"

    @property
    def system(self) -> str:
        """What both roles' images are built on: their stages up to the product's are the same."""
        return f"{self.arch}-{self.base}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return "" if self.release == Release.BOOKWORM else f"-{self.release}"

    @property
    def product(self) -> str:
        """The name of the product's stage."""
        return f"stage-{self.role}"

    @property
    def depends(self) -> str:
        """The name of the stage that has what only this role's packages depend on."""
        return f"stage-depends-{self.role}"

    @property
    def packages(self) -> tuple[str, ...]:
        """Ours that are installed in it."""
        return (*SHARED_PACKAGES, f"tundev-{self.role}")

    def pin(self) -> Pin:
        """The pinned pi-gen; with stages of our own it is the oldest one, which every host can run."""
        text = (CONFIG / "pin.toml").read_text(encoding="utf-8")
        pins = tomllib.loads(text)
        pinned = pins[self.release if self.base == Base.RPIOS else Release.BOOKWORM][self.arch]
        return Pin(pins["repository"], pinned["branch"], pinned["commit"])

    def stages(self, pigen: Path, ours: Path) -> list[Path]:
        """The stages in their order; `pigen` and `ours` are where pi-gen and pi-gen-config were laid out.

        A role whose packages depend on nothing of their own has no stage for that.
        """
        base = [ours / "stage-debian"] if self.base == Base.DEBIAN else [pigen / s for s in PIGEN_STAGES]
        own = [stage for stage in (ours / self.depends,) if stage.is_dir()]
        return [*base, ours / "stage-depends", *own, ours / self.product]


def beside(stages: Sequence[Path], ours: Path) -> list[Path]:
    """The files of pi-gen-config, laid out in `ours`, that are in no stage: the last one may read them all.

    With Raspberry Pi OS those of Debian's stage too, which is none of its stages.
    """
    return [
        path
        for path in sorted(ours.rglob("*"))
        if path.is_file() and path.suffix != ".md" and not any(path.is_relative_to(stage) for stage in stages)
    ]


def keys(stages: Sequence[Path], settings: Iterable[str], product: Iterable[Path]) -> dict[str, str]:
    """The key of each stage by its name.

    settings: what all stages depend on. product: files that only the last stage takes in.
    """
    digest = hashlib.sha256("\n".join(settings).encode())
    found = {}
    for stage in stages:
        files = [path for path in sorted(stage.rglob("*")) if path.is_file() and path.name != "SKIP"]
        for path in [*files, *(sorted(product) if stage == stages[-1] else [])]:
            digest.update(f"\n{path.name} {path.stat().st_mode & 0o111:o}\n".encode())
            digest.update(path.read_bytes())
        found[stage.name] = digest.hexdigest()[:16]
    return found
