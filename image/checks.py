"""What must hold for every image before it leaves the build: nothing of one device, nothing open.

Each check is a function from what is in the image to its faults, in words.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from image import layout as places
from image import personal, started
from image.contents import Contents, contents, unsound
from image.recipe import CONFIG
from vtunlib.errors import FaultFound
from vtunlib.tunnel import Role

SIZE_LIMIT = {False: 4_000_000_000 * 95 // 100, True: 8_000_000_000 * 95 // 100}
"""Bytes: of a card sold as 4 GB, or as 8 GB for Raspberry Pi OS; cards hold less than they say."""
_RASPBERRY = frozenset({"etc/apt/sources.list.d/raspi.list", "etc/apt/sources.list.d/raspi.sources"})
"""Raspberry Pi OS is known by its archive: pi-gen writes /etc/rpi-issue only when it exports."""


def modes(found: Contents, config: Path = CONFIG) -> list[str]:
    """No file that anybody may write, no program with another's rights that is not known."""
    known = set((config / "setuid").read_text(encoding="utf-8").split("\n"))
    faults = []
    for path, entry in found.entries.items():
        kind = stat.S_IFMT(entry.mode)
        sticky = kind == stat.S_IFDIR and entry.mode & stat.S_ISVTX
        if entry.mode & stat.S_IWOTH and kind in {stat.S_IFREG, stat.S_IFDIR} and not sticky:
            faults.append(f"/{path} may be written by anybody")
        if kind == stat.S_IFREG and entry.mode & (stat.S_ISUID | stat.S_ISGID) and f"/{path}" not in known:
            faults.append(f"/{path} runs with another's rights and is not in pi-gen-config/setuid")
    return faults


def mounting(found: Contents) -> list[str]:
    """The root is this disk's, and read-only; nothing is swapped to the card; DNS is not the builder's."""
    faults = []
    words = ""
    command_line = found.boot / "cmdline.txt"
    if command_line.is_file():
        words = command_line.read_text(encoding="utf-8", errors="replace")
    if f"root=PARTUUID={found.layout.partuuid(2)}" not in words.split():
        faults.append("cmdline.txt does not name this image's root")
    if [word for word in words.split() if word in {"ro", "rw"}][-1:] != ["ro"]:
        faults.append("cmdline.txt has the root mounted writable")
    rows = [line.split() for line in found.text("etc/fstab").splitlines() if not line.startswith("#")]
    root = [row for row in rows if row[1:2] == ["/"]]
    if [row[0] for row in root] != [f"PARTUUID={found.layout.partuuid(2)}"]:
        faults.append("/etc/fstab does not name this image's root")
    elif "ro" not in root[0][3].split(","):
        faults.append("/etc/fstab has the root mounted writable")
    faults += [f"/etc/fstab has swap: {row[0]}" for row in rows if row[2:3] == ["swap"]]
    resolver = found.entries.get("etc/resolv.conf")
    if resolver and not resolver.is_link:
        faults.append("/etc/resolv.conf is a file: the builder's DNS servers, on a root that is read-only")
    if "usr/lib/clock-epoch" not in found.entries:
        faults.append("/usr/lib/clock-epoch is missing: the clock may start before the build's date")
    return faults


def size(found: Contents) -> list[str]:
    """It fits the card that the README says, and the data partition is empty."""
    faults = [f"the data partition has {name}" for name in sorted(found.data)]
    limit = SIZE_LIMIT[not _RASPBERRY.isdisjoint(found.entries)]
    if found.image_size > limit:
        faults.append(
            f"the image is {found.image_size / 1e6:.0f} MB, more than the {limit / 1e6:.0f} it may be"
        )
    return faults


def faults_in(found: Contents, image: Path, role: Role) -> list[str]:
    """All faults of an image that was read."""
    by_role: list[Callable[[Contents, Role], Sequence[str]]] = [
        personal.identity,
        personal.leftovers,
        started.units,
    ]
    by_itself: list[Callable[[Contents], Sequence[str]]] = [
        personal.accounts,
        personal.authorized,
        started.generators,
        modes,
        mounting,
        size,
    ]
    return [
        *personal.private_keys(found, image, role),
        *(fault for look in by_role for fault in look(found, role)),
        *(fault for look in by_itself for fault in look(found)),
    ]


def check(image: Path, role: Role, work: Path) -> list[str]:
    """All faults of an image; `work` is a folder for what is read of it. Raises RdvError."""
    try:
        layout = places.read(image)
    except ValueError as error:
        return [f"{image.name} is no image of ours: {error}"]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        return [*unsound(image, layout), *faults_in(contents(image, layout, work), image, role)]
    finally:
        shutil.rmtree(work)


def accept(image: Path, role: Role, work: Path) -> None:
    """Raises FaultFound with every fault, one a line on standard output before."""
    faults = check(image, role, work)
    for fault in faults:
        print(f"image: fault: {fault}", flush=True)
    if faults:
        raise FaultFound(f"{image.name} has {len(faults)} fault{'s'[: len(faults) > 1]}", "; ".join(faults))
