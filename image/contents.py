"""What is in an image, read without mounting it: every entry of its root, and the files that matter."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from image.inventory import INFO, owners
from image.layout import Layout, Partition
from vtunlib.errors import RdvError
from vtunlib.run import run

_DEADLINE = 600.0
READ = ("etc", "lib/systemd/system", "usr/lib/systemd/system", INFO)
"""Folders of the root whose files are read."""


@dataclass(frozen=True)
class Entry:
    """mode as in stat(2)."""

    mode: int
    owner: int
    size: int

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic one."""
        return stat.S_ISLNK(self.mode)


@dataclass(frozen=True)
class Contents:
    """entries: all of the root by their paths, without a leading slash. root: the files of `READ`.

    boot: the files of the boot partition. data: what the data partition has at its top. owners: the
    package that has an entry, where one has it.
    """

    layout: Layout
    image_size: int
    entries: dict[str, Entry]
    root: Path
    boot: Path
    data: frozenset[str]
    owners: dict[str, str]

    def text(self, path: str) -> str:
        """What a file of `READ` says; empty where there is no such file. A link is not followed."""
        file = self.root / path
        if file.is_symlink() or not file.is_file():
            return ""
        return file.read_text(encoding="utf-8", errors="replace")


def contents(image: Path, layout: Layout, work: Path) -> Contents:
    """Read an image; `work` is an empty folder for its files. Raises RdvError where it cannot be read."""
    boot, root, _, data = layout.partitions
    entries = _entries(at(image, root))
    files, boot_files = work / "root", work / "boot"
    files.mkdir()
    boot_files.mkdir()
    for folder in READ:
        if folder in entries:
            target = files / folder
            target.parent.mkdir(parents=True, exist_ok=True)
            debugfs(at(image, root), [f"rdump /{folder} {shlex.quote(str(target.parent))}"])
    run(["mcopy", "-spmn", "-i", f"{image}@@{boot.start}", "::/", str(boot_files)], deadline=_DEADLINE)
    top = _entries(at(image, data), deep=False)
    size, kept = image.stat().st_size, frozenset(top) - {"lost+found"}
    return Contents(layout, size, entries, files, boot_files, kept, owners(files))


def unsound(image: Path, layout: Layout) -> list[str]:
    """The partitions whose file systems have faults, with what their check says."""
    boot, root, _, data = layout.partitions
    found = []
    for name, part in (("root", root), ("data", data)):
        try:
            run(["e2fsck", "-f", "-n", at(image, part)], deadline=_DEADLINE)
        except RdvError as error:
            found.append(f"{name} file system: {error}")
    try:
        run(["minfo", "-i", f"{image}@@{boot.start}", "::"], deadline=_DEADLINE)
    except RdvError as error:
        found.append(f"boot file system: {error}")
    return found


def at(image: Path, partition: Partition) -> str:
    """How the programs of e2fsprogs are told of a partition in a file."""
    return f"{image}?offset={partition.start}"


def _entries(device: str, *, deep: bool = True) -> dict[str, Entry]:
    """All entries below the root folder, asked for a level at a time."""
    found: dict[str, Entry] = {}
    folders = [""]
    while folders:
        below = {}
        for folder, listing in _listings(device, folders):
            for name, entry in listing:
                path = str(PurePosixPath(folder, name))
                below[path] = entry
        found |= below
        folders = [path for path, entry in below.items() if stat.S_ISDIR(entry.mode)] if deep else []
    return found


def _listings(device: str, folders: Iterable[str]) -> Iterable[tuple[str, list[tuple[str, Entry]]]]:
    """What debugfs lists of each folder: `/inode/mode/uid/gid/name/size/`, an entry a line."""
    folders = list(folders)
    said = debugfs(device, [f'ls -p "/{folder}"' for folder in folders])
    for folder, part in zip(folders, said.split("debugfs: ls -p ")[1:], strict=True):
        listing = []
        for line in part.splitlines()[1:]:
            fields = line.split("/")
            if len(fields) == 8 and fields[1] != "0" and fields[5] not in {".", ".."}:
                mode, owner, size = int(fields[2], 8), int(fields[3]), int(fields[6] or 0)
                listing.append((fields[5], Entry(mode, owner, size)))
        yield folder, listing


def debugfs(device: str, commands: Iterable[str]) -> str:
    """What it answers, each answer after its question. Raises RdvError."""
    return run(["debugfs", "-f", "-", device], stdin="\n".join(commands) + "\n", deadline=_DEADLINE)
