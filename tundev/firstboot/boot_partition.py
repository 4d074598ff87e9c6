"""The boot partition as a person sees it in any computer: `tundev.toml` and `tundev-status.txt`.

It is FAT and knows no journal, so it is mounted read-only but for the moments in
which something is written, and nothing that a device needs is there alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from vtunlib import files
from vtunlib.errors import ConfigError, RdvError
from vtunlib.run import run

WHERE = Path("/boot/firmware")
BUNDLE = "tundev.toml"
STATUS = "tundev-status.txt"
SIZE_LIMIT = 65536
"""Bytes; a bundle with its key and CA has 4000."""
ENTRIES_LIMIT = 500
"""Of the folder; an image's has fewer than 100."""


class BootPartition:
    """Its two files."""

    def __init__(self, where: Path = WHERE) -> None:
        self.where = where
        self.bundle = where / BUNDLE
        self.status = where / STATUS

    def read(self) -> bytes | None:
        """The bundle, at most SIZE_LIMIT bytes and one of it; None where there is none.

        Raises OSError, and ConfigError for a folder.
        """
        try:
            with self.bundle.open("rb") as file:
                return file.read(SIZE_LIMIT + 1)
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            raise ConfigError(f"{BUNDLE}: it is a folder", "copy the file that is in it") from None

    def others(self) -> dict[str, bytes]:
        """The other files that are no larger than a bundle, by name. What cannot be read is left out."""
        found = {}
        with suppress(OSError), os.scandir(self.where) as entries:
            for entry in islice(entries, ENTRIES_LIMIT):
                with suppress(OSError):
                    if self._is_other(entry):
                        found[entry.name] = Path(entry.path).read_bytes()
        return found

    def _is_other(self, entry: os.DirEntry[str]) -> bool:
        """Raises OSError."""
        if not entry.is_file(follow_symlinks=False) or entry.stat().st_size > SIZE_LIMIT:
            return False
        # FAT finds the bundle in small letters, and lists it in those that it was copied with.
        ours = [path for path in (self.bundle, self.status) if path.name == entry.name.lower()]
        return not any(path.exists() and path.samefile(entry.path) for path in ours)

    @contextmanager
    def writable(self) -> Iterator[None]:
        """What is written meanwhile is on the card afterwards. Raises OSError, RdvError."""
        read_only = os.statvfs(self.where).f_flag & os.ST_RDONLY
        if read_only:
            run(["mount", "-o", "remount,rw", str(self.where)])
        try:
            yield
        finally:
            files.sync_directory(self.where)
            if read_only:
                with suppress(RdvError):  # the next boot mounts it as it should be
                    run(["mount", "-o", "remount,ro", str(self.where)])

    def blank(self) -> None:
        """Overwrite the bundle where it lies, with NULs: a file put in its place would leave it readable.

        Cut short it holds at least one NUL, unless it is as it was. Raises OSError.
        """
        with self.bundle.open("r+b") as file:
            file.write(bytes(self.bundle.stat().st_size))
            file.flush()
            os.fsync(file.fileno())

    def replace(self, path: Path, data: bytes) -> None:
        """Write the file where it lies, and make it if there is none. Raises OSError.

        Another file in its place would be three changes of the card, in any order, and a power cut
        between them leaves neither. Cut short, one that was blanked holds a NUL still, unless it is whole.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "r+b") as file:
            if os.fstat(descriptor).st_size < len(data):
                os.ftruncate(descriptor, len(data))
                os.fsync(descriptor)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)
