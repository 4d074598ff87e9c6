"""pi-gen at the pinned commit, in a folder of the build's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from image.recipe import Pin
from vtunlib.errors import NotFound, RdvError
from vtunlib.run import run

FETCH_DEADLINE = 600.0


def checked_out(pin: Pin, target: Path, given: Path | None = None) -> None:
    """Leave the pinned commit in `target`, from the repository `given`, or fetched from the pin's.

    A repository is given by its work tree or its git folder; what is in a work tree without
    being committed does not matter. Raises NotFound where the commit is not to be had.
    """
    if (target / ".git").is_dir() and _head(target) == pin.commit:
        _git(target, "reset", "--hard", "--quiet")
        _git(target, "clean", "-d", "--force", "--quiet")
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    _git(target, "init", "--quiet")
    source = str(given.resolve()) if given else pin.repository
    try:
        # By its commit: a branch that has moved on does not matter.
        _git(target, "fetch", "--quiet", "--depth", "1", source, pin.commit)
    except RdvError as error:
        raise NotFound(
            f"no commit {pin.commit[:12]} ({pin.branch}) of pi-gen at {source}: {error.message}",
            "PIGEN=DIR takes it from a clone that has it",
        ) from None
    _git(target, "checkout", "--quiet", pin.commit)


def check_given(given: Path | None) -> None:
    """Raises NotFound where a clone of pi-gen is said to be, and is no folder."""
    if given and not given.is_dir():
        raise NotFound(f"there is no folder {given}", "PIGEN is a clone of pi-gen")


def _head(folder: Path) -> str:
    try:
        return _git(folder, "rev-parse", "HEAD").strip()
    except RdvError:
        return ""


def _git(folder: Path, *words: str) -> str:
    # Whoever owns a given repository: nothing of it is run, a commit is read.
    return run(["git", "-C", str(folder), "-c", "safe.directory=*", *words], deadline=FETCH_DEADLINE)
