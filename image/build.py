"""Builds an image: pi-gen at its pin, its stages or Debian's, ours on top, the files of it in dist/.

A build that was stopped goes on at the stage it was in: what a stage made is kept under the
key of what it was made from (image/recipe.py), and pi-gen skips a stage that has a SKIP file.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

from image import pigen
from image.depends import depends
from image.emulation import emulating
from image.progress import Progress, table
from image.recipe import CONFIG, REPOSITORY, SHARED_PACKAGES, Arch, Base, Recipe, Release, beside, keys
from vtunlib.errors import Busy, NotAllowed, NotFound, RdvError
from vtunlib.tunnel import Role

MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
TAIL = 15  # lines of the log that a failure shows

USAGE = "make image ROLE=onsite|master [ARCH=…] [BASE=…] [RELEASE=…] [PIGEN=DIR] (image/README.md)"
EXAMPLES = """\
examples:
  make image ROLE=onsite                      an onsite on Raspberry Pi OS, 64 bits
  make image ROLE=master BASE=debian          a master for Pi 3 and 4 from Debian's mirror alone
  make image ROLE=onsite PIGEN=/src/pi-gen    with a clone of pi-gen, where GitHub is out of reach

A build that was stopped goes on where it was; `make clean` has it begin anew.
"""


@dataclass(frozen=True)
class Folders:
    """Where a build works."""

    top: Path

    @property
    def pigen(self) -> Path:
        return self.top / "pi-gen"

    @property
    def ours(self) -> Path:
        """Our stages, laid out for this build."""
        return self.top / "pi-gen-config"

    @property
    def work(self) -> Path:
        return self.top / "work"

    @property
    def log(self) -> Path:
        """Of all builds."""
        return self.top / "build.log"

    @property
    def done(self) -> Path:
        """The keys of the stages that have been built."""
        return self.top / "done.json"


def packages_in(recipe: Recipe, dist: Path) -> list[Path]:
    """The built packages that the image takes in. Raises NotFound."""
    found = []
    for name in recipe.packages:
        debs = sorted(dist.glob(f"{name}_*.deb"))
        if len(debs) != 1:
            raise NotFound(f"{len(debs)} packages {name} in {dist}, expected one", "build them: make deb")
        found += debs
    return found


def build(
    recipe: Recipe,
    dist: Path,
    top: Path,
    lay_out: Callable[[Path], None],
    into: Path | None = None,
    config: Path = CONFIG,
) -> Path:
    """Build the image of the packages in `dist`, working in `top`; the image, as it is before it is packed.

    lay_out: leaves pi-gen in a folder. into: where the image's files go, packed; None leaves that out.
    config: our stages and what goes with them. Raises Busy where another build works
    there, and RdvError, which names stage and log.
    """
    debs = packages_in(recipe, dist)
    top.mkdir(parents=True, exist_ok=True)
    folders = Folders(top.resolve())
    with _alone(folders.top):
        lay_out(folders.pigen)
        _lay_out_ours(recipe, debs, config, folders.ours)
        _run(recipe, folders, dist.resolve(), debs, into)
        return folders.work / f"export-{recipe.role}" / f"{recipe.name}.img"


def _lay_out_ours(recipe: Recipe, debs: Sequence[Path], config: Path, ours: Path) -> None:
    """Our stages, as this build needs them: pi-gen keeps what a stage makes under the stage's name."""
    shutil.rmtree(ours, ignore_errors=True)
    shutil.copytree(config, ours)
    (ours / "stage-tundev").rename(ours / recipe.product)
    (ours / "export").rename(ours / f"export-{recipe.role}")
    shared = [deb for deb in debs if deb.name.split("_")[0] in SHARED_PACKAGES]
    by_both = depends(shared, besides=recipe.packages)
    by_role = depends(debs, besides=by_both)
    if by_role:
        shutil.copytree(ours / "stage-depends", ours / recipe.depends)
        _list_packages(ours / recipe.depends, by_role)
    _list_packages(ours / "stage-depends", by_both)


def _list_packages(stage: Path, needed: Sequence[str]) -> None:
    # By such a file pi-gen installs packages; their recommendations are left out.
    listed = stage / "01-depends/00-packages-nr"
    listed.parent.mkdir()
    listed.write_text("\n".join(needed) + "\n", encoding="utf-8")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Busy(f"another build works in {folder}", "wait for its end") from None
    finally:
        os.close(descriptor)


def _run(recipe: Recipe, folders: Folders, dist: Path, debs: Sequence[Path], into: Path | None) -> None:
    config = _configuration(recipe, folders, dist, into)
    stages = recipe.stages(folders.pigen, folders.ours)
    settings = [recipe.pin().commit, recipe.system]
    if recipe.base == Base.RPIOS:
        # Its stages read pi-gen's configuration, of which each role has its own; but for its name it is one.
        settings.append((folders.ours / f"{recipe.role}.conf").read_text("utf-8").replace(recipe.role, ""))
    wanted = keys(stages, settings, [*debs, *beside(stages, folders.ours)])
    for stage in _forget_from_change(stages, wanted, folders):
        (stage / "SKIP").touch()
        print(f"image: {stage.name} is built already", flush=True)
    for stage in stages[:-1]:
        # pi-gen exports every stage that asks for it, as its own stage 2 does.
        (stage / "SKIP_IMAGES").touch()
    command = ["./build.sh", "-c", str(config)]
    progress = Progress(str(folders.pigen))
    code = _follow(emulating(command, recipe.arch), folders, progress, wanted)
    if progress.ended:
        print(table(progress.ended), flush=True)
    if code:
        raise RdvError(
            f"the build of {recipe.name} failed in {progress.current or 'its beginning'}",
            f"the last of it is above, all of it in {folders.log}; the next build goes on from there",
        )


def _forget_from_change(stages: Sequence[Path], wanted: dict[str, str], folders: Folders) -> list[Path]:
    """The stages that need not be done again; the others count as not done from now on."""
    done = _done(folders)
    kept = list(takewhile(lambda stage: done.get(stage.name) == wanted[stage.name], stages))
    for stage in stages[len(kept) :]:
        done.pop(stage.name, None)
    folders.done.write_text(json.dumps(done), encoding="utf-8")
    return kept


def _configuration(recipe: Recipe, folders: Folders, dist: Path, into: Path | None) -> Path:
    """pi-gen's configuration of this build: the role's, and what only the build knows."""
    values = {
        "IMG_NAME": recipe.name,
        "WORK_DIR": folders.work,
        "STAGE_LIST": " ".join(map(str, recipe.stages(folders.pigen, folders.ours))),
        "EXPORT_CONFIG_DIR": folders.ours / f"export-{recipe.role}",
        # A stage that is done again begins with what is below it, not with what it left half made.
        "CLEAN": 1,
        "TUNDEV_SOURCE": REPOSITORY,
        "TUNDEV_CONFIG": folders.ours,
        "TUNDEV_DIST": dist,
        "TUNDEV_INTO": into.resolve() if into else "",
        "TUNDEV_ROLE": recipe.role,
        "TUNDEV_ARCH": recipe.arch,
        "TUNDEV_BASE": recipe.base,
        "RELEASE": recipe.release,
        "TUNDEV_PACKAGES": " ".join(recipe.packages),
        "TUNDEV_MIRROR": os.environ.get("MIRROR", MIRROR),
        "TUNDEV_SECURITY_MIRROR": os.environ.get("SECURITY_MIRROR", SECURITY_MIRROR),
    }
    lines = [f"source {shlex.quote(str(folders.ours / f'{recipe.role}.conf'))}"]
    lines += [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]
    target = folders.top / "config"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def _done(folders: Folders) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(folders.done.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _follow(argv: Sequence[str], folders: Folders, progress: Progress, wanted: dict[str, str]) -> int:
    """Run the build, tell how far it is, note each stage that ends; its exit status."""
    done = _done(folders)
    began = time.monotonic()
    told = ""
    lines: list[str] = []
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    with (
        folders.log.open("a", encoding="utf-8") as log,
        subprocess.Popen(
            argv,
            cwd=folders.pigen,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            log.write(line)
            log.flush()
            lines = [*lines[1 - TAIL :], line]
            now = time.monotonic()
            ended = progress.take(line, now)
            stage = Path(ended).name if ended and not progress.depth else ""
            if stage in wanted:
                done[stage] = wanted[stage]
                folders.done.write_text(json.dumps(done), encoding="utf-8")
            if not ended and progress.depth in (1, 2) and progress.current != told:
                told = progress.current
                print(f"image: {now - began:5.0f} s  {told}", flush=True)
    if process.returncode:
        print("".join(lines), file=sys.stderr, end="", flush=True)
    return process.returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """The command behind `make image`; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="make image",
        usage=USAGE,
        description="Build a ready-to-flash image of a device (root).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("role", metavar="ROLE", choices=list(map(str, Role)), help="what the device will be")
    parser.add_argument("--arch", choices=list(map(str, Arch)), default=str(Arch.ARM64))
    parser.add_argument("--base", choices=list(map(str, Base)), default=str(Base.RPIOS))
    parser.add_argument("--release", choices=list(map(str, Release)), default=str(Release.BOOKWORM))
    parser.add_argument(
        "--pigen", type=Path, metavar="DIR", help="a clone of pi-gen that has the pinned commit"
    )
    parser.add_argument("--dist", type=Path, default=REPOSITORY / "dist", help="packages, and the result")
    parser.add_argument("--build", type=Path, default=REPOSITORY / "build/image", help="where it works")
    parser.add_argument("--check", action="store_true", help="say whether it can be built, and build nothing")
    options = parser.parse_args(arguments)
    try:
        recipe = Recipe(Role(options.role), Arch(options.arch), Base(options.base), Release(options.release))
        if os.geteuid() != 0:
            raise NotAllowed("only root can build an image", "use sudo")
        pigen.check_given(options.pigen)
        if options.check:
            return 0
        lay_out = partial(pigen.checked_out, recipe.pin(), given=options.pigen)
        build(recipe, options.dist, options.build / recipe.system, lay_out, options.dist)
    except RdvError as error:
        print(f"image: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
