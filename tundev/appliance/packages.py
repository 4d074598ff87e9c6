"""Our packages on an appliance: those that are installed, kept as files so that they can be gone back to.

The files lie on the data partition, in one folder for what is installed and one for
what is to be; an image brings those that it was made with.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vtunlib import files
from vtunlib.errors import ConfigError, MissingProgram, NotFound, RdvError, Timeout, printable
from vtunlib.run import run

WHERE = Path("/var/lib/tundev/upgrade")
OUTCOME = WHERE / "outcome"
"""What came of the last upgrade, for a person."""
OF_IMAGE = Path("/usr/lib/tundev/packages")
"""The files that the image was made with."""
ROOT_SECONDS = 600.0
"""Of dpkg, on a slow card."""


@dataclass(frozen=True)
class Package:
    """A package's file, or one that is installed (file None)."""

    name: str
    version: str
    file: Path | None = None


def read(file: Path) -> Package:
    """What the file `file` is. Raises ConfigError where it is no package."""
    try:
        told = run(["dpkg-deb", "--show", "--showformat=${Package} ${Version}", str(file)])
        name, version = told.split()
    except (RdvError, ValueError):
        raise ConfigError(f"{file} is no Debian package, or is damaged", "copy it here once more") from None
    return Package(name, version, file)


def installed() -> list[Package]:
    """Those of ours that are, by their source. Raises RdvError."""
    form = "${source:Package} ${db:Status-Status} ${Package} ${Version}\n"
    rows = [line.split() for line in run(["dpkg-query", "--show", f"--showformat={form}"]).splitlines()]
    return [Package(row[2], row[3]) for row in rows if row[0] == "tundev" and row[1] != "config-files"]


def check(offered: Sequence[Package], present: Sequence[Package]) -> str:
    """The one version of `offered`, which are to replace `present`. Raises ConfigError.

    All of ours that are installed, and no other: they depend on each other's very version, and what
    else is on an appliance comes with its image.
    """
    wanted, given = {package.name for package in present}, [package.name for package in offered]
    if strange := sorted(set(given) - wanted):
        raise ConfigError(f"not installed here: {', '.join(map(printable, strange))}", "a new image has it")
    if missing := sorted(wanted - set(given)):
        raise ConfigError(f"missing: {', '.join(missing)}", "all packages of a version go together")
    versions = sorted({package.version for package in offered})
    if len(versions) != 1 or len(set(given)) != len(given):
        told = ", ".join(f"{package.name} {package.version}" for package in offered)
        raise ConfigError(f"of more than one version: {printable(told)}", "all go together")
    return versions[0]


def newer(version: str, than: str) -> bool:
    """Whether it is, as dpkg orders versions. Raises RdvError."""
    try:
        run(["dpkg", "--compare-versions", version, "gt", than])
    except (MissingProgram, Timeout):
        raise
    except RdvError:
        return False
    return True


def keep(packages: Iterable[Path], folder: Path) -> None:
    """Make `folder` one of just these files, durably. Raises OSError."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for file in packages:
        shutil.copyfile(file, part / file.name)
        files.sync(part / file.name)
    files.sync_directory(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    files.sync_directory(folder.parent)


def kept(folder: Path) -> list[Path]:
    """The packages' files in it. Raises NotFound where there are none."""
    found = sorted(folder.glob("*.deb"))
    if not found:
        raise NotFound(f"there are no packages in {folder}")
    return found


def install(folder: Path) -> None:
    """Install what is in it, older or newer, and finish what was begun before. Raises RdvError.

    The root stays writable where a program that runs has an old file open: until the next boot.
    """
    names = [str(file) for file in kept(folder)]
    run(["mount", "-o", "remount,rw", "/"])
    try:
        options = ["--force-confdef", "--force-confold"]
        run(["dpkg", *options, "--install", *names], deadline=ROOT_SECONDS)
        run(["dpkg", *options, "--configure", "--pending"], deadline=ROOT_SECONDS)
    finally:
        run(["sync"], deadline=ROOT_SECONDS)
        try:
            run(["mount", "-o", "remount,ro", "/"])
        except RdvError:
            print("the root stays writable until the next boot")
