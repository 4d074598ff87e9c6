"""What a machine in QEMU wrote to its disk, in its order, so that the disk can be as a power cut leaves it.

QEMU's blklogwrites keeps it in the form of Linux's dm-log-writes: a block that tells how
large the log's blocks are, then an entry a block, each followed by what was written.

What the machine has flushed lasts. Of what it wrote after that a card keeps some and
loses some, whatever came first: it has a cache of its own, and tells of a write when it
is in there.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

# struct log_write_super and log_write_entry of Linux's drivers/md/dm-log-writes.c, little-endian.
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_MAGIC = 0x6A736677736872
_FLUSH = 1
_DISCARD = 4
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A write of `size` bytes at `at` of the disk, which are at `data` of the log; or a flush, of none."""

    at: int = 0
    size: int = 0
    data: int = 0
    flush: bool = False


def entries(log: Path) -> list[Entry]:
    """All that was written, up to where the log was cut short: none where QEMU itself had no time for it.

    Raises ValueError for another file.
    """
    found: list[Entry] = []
    with log.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        if end < _SUPER.size:
            return found
        magic, _, _, block = _SUPER.unpack(file.read(_SUPER.size))
        if magic != _MAGIC:
            raise ValueError(f"{log} is no log of blklogwrites")
        where = block
        while where + block <= end:
            file.seek(where)
            sector, count, flags, _ = _ENTRY.unpack(file.read(_ENTRY.size))
            size = 0 if flags & _DISCARD else count * block
            where += block
            if not (count or flags) or where + size > end:
                break
            found.append(Entry(sector * block, size, where, bool(flags & _FLUSH)))
            where += size
    return found


def flushed(written: Sequence[Entry]) -> int:
    """How many of them last for certain: those up to the last flush."""
    return max((number for number, entry in enumerate(written, 1) if entry.flush), default=0)


def replay(log: Path, written: Sequence[Entry], disk: Path, chance: random.Random) -> int:
    """Make the disk, which is as it was before, as a power cut after these leaves it; how many were lost."""
    certain = flushed(written)
    kept = _some(written[certain:], chance)
    with log.open("rb") as source, disk.open("r+b") as target:
        for entry in (*written[:certain], *kept):
            _write(source, entry, target)
    return len(written) - certain - len(kept)


def cuts(
    log: Path, written: Sequence[Entry], disk: Path, after: Iterable[int], chance: random.Random
) -> Iterator[int]:
    """Make the disk, which is as it was before, as a power cut after so many of these leaves it, in turn.

    after: growing numbers; each is yielded while the disk is so. At the end all of it is on the disk that
    was flushed before the last.
    """
    done = 0
    with log.open("rb") as source, disk.open("r+b", buffering=0) as target:
        for number in after:
            certain = flushed(written[:number])
            for entry in written[done:certain]:
                _write(source, entry, target)
            done = max(done, certain)
            former = []
            for entry in _some(written[done:number], chance):
                target.seek(entry.at)
                former.append((entry.at, target.read(entry.size)))
                _write(source, entry, target)
            yield number
            for at, data in reversed(former):
                target.seek(at)
                target.write(data)


def _some(written: Sequence[Entry], chance: random.Random) -> list[Entry]:
    return [entry for entry in written if chance.random() < 0.5]


def _write(source: BinaryIO, entry: Entry, target: BinaryIO | FileIO) -> None:
    source.seek(entry.data)
    target.seek(entry.at)
    left = entry.size
    while left:
        part = source.read(min(left, _CHUNK))
        target.write(part)
        left -= len(part)
