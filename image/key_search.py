"""Private keys in an image's root, looked for in its blocks: no folder, name or size is passed over.

What is packed, as in a package's file, is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from image.assemble import written
from image.contents import at, debugfs
from image.layout import MIB, Partition

PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])+[A-Za-z0-9+/]")
"""As of RFC 7468, and PGP's, with what begins its content: programs that read keys have the line alone."""
_LONGEST = 128
"""Bytes that it may take, generously: so much of a piece is looked at with the next one too."""
_PIECE = 8 * MIB
_BLOCK_SIZE = 1024 + 24
"""Where ext4 has the binary logarithm of its block size in KiB (ext4's s_log_block_size)."""


def files_with_keys(image: Path, root: Partition) -> list[str]:
    """Paths in the root partition, without a leading slash, of files that have one. Raises RdvError."""
    with image.open("rb") as disk:
        disk.seek(root.start + _BLOCK_SIZE)
        block = 1024 << int.from_bytes(disk.read(4), "little")
    blocks = {(place - root.start) // block for place in _places(image, root)}
    inodes = _answers(at(image, root), "icheck", map(str, sorted(blocks)))
    # A block of no file has no number there.
    paths = _answers(at(image, root), "ncheck", sorted({inode for inode in inodes if inode.isdecimal()}))
    return sorted(path.lstrip("/") for path in paths)


def _places(image: Path, part: Partition) -> Iterator[int]:
    """Where in the image a key begins. A hole is not read."""
    with image.open("rb") as disk:
        for first, last in written(disk.fileno()):
            for piece in range(max(first, part.start), min(last, part.end), _PIECE):
                disk.seek(piece)
                data = disk.read(min(_PIECE + _LONGEST, min(last, part.end) - piece))
                yield from (piece + match.start() for match in PRIVATE_KEY.finditer(data))


def _answers(device: str, question: str, words: Iterable[str]) -> list[str]:
    """What debugfs says of each word: the second column of a table, whose first has the word."""
    said = debugfs(device, [f"{question} {word}" for word in words])
    rows = (line.split("\t", 1) for line in said.splitlines() if "\t" in line)
    return [row[1].strip() for row in rows if row[0].isdecimal()]
