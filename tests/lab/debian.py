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
from collections.abc import Iterable, Iterator, Sequence
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
    begin: str = ""
    """Shell commands for the root as it is when the essential packages are in it, and no other."""
    architecture: str = ""
    """Debian's name of it; empty for this machine's. Another one needs binfmt_misc."""

    @property
    def key(self) -> str:
        """The name under which it is kept."""
        text = "\n".join([SUITE, self.architecture, self.begin, self.finish, *self.packages])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def depends(control: str, packages: Iterable[str] = ()) -> list[str]:
    """What `packages` of a debian/control (all by default) ask for: first alternatives, our own left out."""
    own = set(re.findall(r"^(?:Package|Source):\s*(\S+)", control, re.M))
    wanted = set(packages) or own
    found = set()
    for paragraph in re.split(r"\n\s*\n", control):
        named = re.search(r"^Package:\s*(\S+)", paragraph, re.M)
        if not named or named[1] not in wanted:
            continue
        for field in re.findall(r"^(?:Pre-)?Depends:((?:.*\n)(?:[ \t].*\n)*)", f"{paragraph}\n", re.M):
            for clause in field.replace("\n", " ").split(","):
                name = re.sub(r"\(.*?\)|\[.*?\]|<.*?>", "", clause.split("|")[0]).strip().split(":")[0]
                if name and "$" not in name and not name.startswith("#"):
                    found.add(name)
    return sorted(found - own)


def our_depends(packages: Iterable[str] = ()) -> list[str]:
    """As `depends`, of this repository's packages."""
    control = REPOSITORY / "debian" / "control"
    return depends(control.read_text(encoding="utf-8"), packages) if control.exists() else []


def _sources() -> list[str]:
    """One-line sources of this host's Debian mirror, so that a local mirror is used where there is one."""
    form = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)"
    listed = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], check=False).out
    lines = []
    for entry in dict.fromkeys(listed.splitlines()):
        origin, codename, component, uri = entry.split(maxsplit=3)
        if origin == "Debian" and codename.split("-")[0] == SUITE and component == "main":
            lines.append(f"deb {uri} {codename} main")
    return lines or [f"deb {MIRROR} {SUITE} main"]


def _proxies() -> list[str]:
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


def kept_root(recipe: Recipe, cache: Path, *, within: Sequence[str] = (), fresh: bool = False) -> Path:
    """The root of the recipe in `cache`, made if there is none yet or `fresh` asks for it.

    `within`: what to put before mmdebstrap so that it runs where it can.
    """
    with held(cache):
        root = cache / recipe.key / "root"
        if fresh or not root.is_dir():
            _build(recipe, root, within)
            forget_old([path for path in cache.iterdir() if path.is_dir()], root.parent, KEPT)
        os.utime(root.parent)
        return root


def _build(recipe: Recipe, root: Path, within: Sequence[str]) -> None:
    part = root.with_name("root.part")
    for old in (part, root):
        shutil.rmtree(old, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    hooks = {}
    for name in ("begin", "finish"):
        hooks[name] = root.parent / f"{name}.sh"
        hooks[name].write_text(f"set -eu\n{getattr(recipe, name)}", encoding="utf-8")
    what = f"{recipe.architecture} root" if recipe.architecture else "base root"
    print(f"lab: making the {what} ({len(recipe.packages)} packages, once)", flush=True)
    # check/qemu asks for a program of its own (arch-test): the first program that cannot run says it too.
    foreign = [f"--architectures={recipe.architecture}", "--skip=check/qemu"] if recipe.architecture else []
    run(
        [
            *within,
            "mmdebstrap",
            "--quiet",
            "--variant=apt",
            *foreign,
            f"--include={','.join(recipe.packages)}",
            *_proxies(),
            f'--essential-hook=sh {hooks["begin"]} "$1"',
            f'--customize-hook=sh {hooks["finish"]} "$1"',
            SUITE,
            str(part),
            "-",
        ],
        stdin="\n".join(_sources()) + "\n",
        deadline=1800 if foreign else 900,
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
