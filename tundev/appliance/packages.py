"""Our packages on an appliance: those that are installed, kept as files so that they can be gone back to.

The files lie on the data partition, in one folder for what is gone back to and one for
what is to be; an image brings those that it was made with.
"""

from __future__ import annotations

import shutil
import tempfile
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
INSTALLED = WHERE / "installed"
"""What is gone back to: the files of the last version that a start of the device was online with."""
DPKG_SECONDS = 600.0
"""Of dpkg once, on a slow card."""
SYNC_SECONDS = 300.0
"""What it wrote may all be in memory then."""
MOUNT_SECONDS = 30.0
INSTALL_SECONDS = 2 * (DPKG_SECONDS + MOUNT_SECONDS) + SYNC_SECONDS
"""The longest that `install` takes."""
_NEW = "new"
_NOBODY_TO_ASK = {"DEBIAN_FRONTEND": "noninteractive"}
"""For a package that has questions of debconf's, and for the triggers of Debian's own."""


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


def store(packages: Iterable[Path], *, spare: Path | None = None) -> Path:
    """A new folder of just these files, durably; those of before go, but for `spare`. Raises OSError.

    It has a name of its own: until that is noted somewhere, nothing has changed.
    """
    for stale in WHERE.glob(f"{_NEW}*"):
        if stale != spare:
            shutil.rmtree(stale, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_NEW, dir=WHERE))
    try:
        for file in packages:
            shutil.copyfile(file, folder / file.name)
            files.sync(folder / file.name)
        files.sync_directory(folder)
        files.sync_directory(WHERE)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # a full partition is not to stay full
        raise
    return folder


def put(new: Path, folder: Path) -> None:
    """Make `new` what `folder` is, by renames alone, durably; what was there goes. Raises OSError.

    No file can be renamed over a folder, so there is a moment without one. Whatever moment
    that is cut short at, the same again finishes it.
    """
    aside = folder.with_name(f"{folder.name}.former")
    if new.exists():
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        new.rename(folder)
        files.sync_directory(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


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
    run(["mount", "-o", "remount,rw", "/"], deadline=MOUNT_SECONDS)
    try:
        options = ["--force-confdef", "--force-confold"]
        for work in (["--install", *names], ["--configure", "--pending"]):
            run(["dpkg", *options, *work], deadline=DPKG_SECONDS, environment=_NOBODY_TO_ASK)
    finally:
        run(["sync"], deadline=SYNC_SECONDS)
        try:
            run(["mount", "-o", "remount,ro", "/"], deadline=MOUNT_SECONDS)
        except RdvError:
            print("the root stays writable until the next boot")
