"""Debian roots: made by mmdebstrap once per recipe, and kept under the hash of that recipe.

A root is the lowest layer of what the tests boot, and is never written to after it
was made.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.process import LabError, run

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
REPOSITORY = Path(__file__).resolve().parents[2]
KEPT = 4  # roots of former recipes that stay, for what may still run on them


@dataclass(frozen=True)
class Recipe:
    """What a root is made from; its key changes with anything in it."""

    packages: tuple[str, ...]
    finish: str
    """Shell commands for the new root, `$1`, when all packages are in it."""

    @property
    def key(self) -> str:
        """The name under which it is kept."""
        text = f"{SUITE}\n\n\n" + "\n".join([self.finish, *self.packages])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def depends(control: str) -> list[str]:
    """What the packages of a debian/control ask for: first alternatives, our own left out."""
    own = set(re.findall(r"^(?:Package|Source):\s*(\S+)", control, re.M))
    found = set()
    for field in re.findall(r"^(?:Pre-)?Depends:((?:.*\n)(?:[ \t].*\n)*)", f"{control}\n", re.M):
        for clause in field.replace("\n", " ").split(","):
            name = re.sub(r"\(.*?\)|\[.*?\]|<.*?>", "", clause.split("|")[0]).strip().split(":")[0]
            if name and "$" not in name and not name.startswith("#"):
                found.add(name)
    return sorted(found - own)


def our_depends() -> list[str]:
    """As `depends`, of this repository's packages."""
    control = REPOSITORY / "debian" / "control"
    return depends(control.read_text(encoding="utf-8")) if control.exists() else []


def sources() -> list[str]:
    """One-line sources of this host's Debian mirror, so that a local mirror is used where there is one."""
    form = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)"
    listed = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], check=False).out
    lines = []
    for entry in dict.fromkeys(listed.splitlines()):
        origin, codename, component, uri = entry.split(maxsplit=3)
        if origin == "Debian" and codename.split("-")[0] == SUITE and component == "main":
            lines.append(f"deb {uri} {codename} main")
    return lines or [f"deb {MIRROR} {SUITE} main"]


def proxies() -> list[str]:
    """apt's own proxy settings of this host, which mmdebstrap does not read."""
    dump = run(["apt-config", "dump"], check=False).out
    return [f"--aptopt={line}" for line in dump.splitlines() if re.match(r"Acquire::https?::Proxy ", line)]


@contextmanager
def held(cache: Path) -> Iterator[None]:
    """One process at a time makes something in the cache; another one waits and then finds it made."""
    cache.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(cache / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def kept_root(recipe: Recipe, cache: Path, *, fresh: bool = False) -> Path:
    """The root of the recipe in `cache`, made if there is none yet or `fresh` asks for it."""
    with held(cache):
        root = cache / recipe.key / "root"
        if fresh or not root.is_dir():
            _build(recipe, root)
            forget_old([path for path in cache.iterdir() if path.is_dir()], root.parent, KEPT)
        os.utime(root.parent)
        return root


def _build(recipe: Recipe, root: Path) -> None:
    part = root.with_name("root.part")
    for old in (part, root):
        shutil.rmtree(old, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    finish = root.parent / "finish.sh"
    finish.write_text(f"set -eu\n{recipe.finish}", encoding="utf-8")
    print(f"lab: making the base root ({len(recipe.packages)} packages, once)", flush=True)
    run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=apt",
            f"--include={','.join(recipe.packages)}",
            *proxies(),
            f'--customize-hook=sh {finish} "$1"',
            SUITE,
            str(part),
            "-",
        ],
        stdin="\n".join(sources()) + "\n",
        deadline=900,
    )
    if not (part / "usr/lib/systemd/systemd").exists():
        raise LabError(f"mmdebstrap made no bootable root in {part}")
    part.rename(root)


def in_use(directory: Path) -> bool:
    """Whether some machine's root is laid on it."""
    return str(directory) in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def forget_old(paths: Iterable[Path], current: Path, kept: int) -> None:
    """Remove all but the newest few, of which `current` is one; what is laid on a root goes with it."""
    old = [path for path in paths if path != current]
    for path in sorted(old, key=lambda path: path.stat().st_mtime, reverse=True)[kept - 1 :]:
        if not in_use(path):
            shutil.rmtree(path, ignore_errors=True)
