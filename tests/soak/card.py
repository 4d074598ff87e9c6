"""A device's card, as a person and a power cut find it: put in, pulled out, looked at, changed."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image.assemble import written
from image.layout import MIB, Partition
from image.layout import read as layout_of
from image.provisioning import provision
from tests.image.card import ROOM, Disk, boot_files
from tests.lab.process import LabError, run
from tests.soak.write_log import cuts, entries, replay

_DEADLINE = 300.0
_SOUND = 0
# What fsck.fat says of a sound file system, of one that was writable, and of a number that only saves time.
_HARMLESS = re.compile(
    r"|fsck\.fat .*|.*: \d+ files, .*|Leaving filesystem unchanged\."
    r"|Dirty bit is set\. .*|Automatically removing dirty bit\."
    r"|There are differences between boot sector and its backup\.|This is mostly harmless\. .*"
    r"|65:01/00|Not automatically fixing this\."  # that mark
    r"|Free cluster summary .*|Auto-correcting\."
)


@dataclass(frozen=True)
class LoggedDisk(Disk):
    """One whose writes are kept in `log` too."""

    log: Path = Path()

    @property
    def drive(self) -> str:
        """As Disk's."""
        file = f"file.driver=raw,file.file.driver=file,file.file.filename={self.image}"
        return f"driver=blklogwrites,{file},log.driver=file,log.filename={self.log}"


class Card:
    """The image with a bundle on it, in `folder`. size: bytes; a little more than the image without it."""

    def __init__(self, image: Path, bundle: str, folder: Path, *, size: int = 0) -> None:
        folder.mkdir(parents=True)
        self.file = folder / "card.img"
        self.used = folder / "used.img"
        """What the machine writes to, while the card is in it."""
        self._log = folder / "log"
        self._part = folder / "part"
        provision(image, bundle, self.file)
        os.truncate(self.file, size or self.file.stat().st_size + ROOM)
        self._kernel, self._initrd, self._command_line = boot_files(self.file, folder)

    def put_in(self, *words: str) -> Disk:
        """What a machine boots from, with `words` on the kernel's command line."""
        copy(self.file, self.used)
        self._log.write_bytes(b"")
        line = " ".join([self._command_line, *words])
        return LoggedDisk(self.used, self._kernel, self._initrd, line, log=self._log)

    def pull_out(self, chance: random.Random) -> int:
        """After the power went: the card is what is left, and some of what was not flushed is not.

        Returns how many writes were lost.
        """
        lost = replay(self._log, entries(self._log), self.file, chance)
        self.used.unlink()
        self._log.unlink()
        return lost

    def cuts(self, chance: random.Random, number: int) -> Iterator[str]:
        """After the power went: the card as it was after `number` moments of all that was written.

        Each is told in words. In the end the card is as after the last.
        """
        written = entries(self._log)
        moments = sorted(chance.sample(range(1, len(written) + 1), min(number, len(written))))
        for moment in cuts(self._log, written, self.file, moments, chance):
            yield f"after {moment} of {len(written)} writes and flushes"
        self.used.unlink()
        self._log.unlink()

    def partition(self, number: int) -> Path:
        """A copy of the partition alone, there until the next is asked for."""
        place = partition(self.file, number)
        self._part.unlink(missing_ok=True)
        copy(self.file, self._part, place)
        return self._part

    def mountable(self, number: int) -> Path:
        """As `partition`, of an ext4 one, whose journal is played back as a mount does it."""
        file = self.partition(number)
        run(["e2fsck", "-E", "journal_only", "-p", str(file)], deadline=_DEADLINE, check=False)
        return file

    def faults(self, *, root: bool = True) -> list[str]:
        """What the file systems' checks find, once the journals have been played back.

        root: whether that is looked at too, which takes seconds.
        """
        found = []
        for number, name in ((2, "root"), (4, "data"))[not root :]:
            checked = run(
                ["e2fsck", "-f", "-n", str(self.mountable(number))], deadline=_DEADLINE, check=False
            )
            if checked.code != _SOUND:
                found.append(f"{name}: {checked.out}{checked.err}")
        checked = run(["fsck.vfat", "-n", str(self.partition(1))], deadline=_DEADLINE, check=False)
        if faults := [line for line in checked.out.splitlines() if not _HARMLESS.fullmatch(line.strip())]:
            found.append(f"boot: {faults}")
        return found

    def read(self, name: str) -> str:
        """A file of the boot partition; LabError without it."""
        return run(["mtype", "-i", self._boot, f"::/{name}"]).out

    def write(self, name: str, data: bytes) -> None:
        """Put a file onto the boot partition."""
        self._part.write_bytes(data)
        run(["mcopy", "-o", "-i", self._boot, str(self._part), f"::/{name}"])

    def delete(self, name: str) -> None:
        """Take a file off the boot partition."""
        run(["mdel", "-i", self._boot, f"::/{name}"])

    @property
    def _boot(self) -> str:
        return f"{self.file}@@{partition(self.file, 1).start}"


def partition(card: Path, number: int) -> Partition:
    """As the card's table has it now: the last one grows."""
    last = layout_of(card).partitions[number - 1]
    if number < 4:
        return last
    with card.open("rb") as disk:
        disk.seek(446 + 16 * (number - 1) + 12)
        return Partition(number, last.start, int.from_bytes(disk.read(4), "little") * 512, last.kind)


def copy(source: Path, target: Path, part: Partition | None = None) -> None:
    """The file, or a part of it, its holes left holes."""
    begin, end = (part.start, part.end) if part else (0, source.stat().st_size)
    with source.open("rb") as old, target.open("wb") as new:
        new.truncate(end - begin)
        for first, last in written(old.fileno()):
            at = max(first, begin)
            old.seek(at)
            new.seek(at - begin)
            while at < min(last, end):
                block = old.read(min(MIB, min(last, end) - at))
                if not block:
                    raise LabError(f"{source} became shorter")
                new.write(block)
                at += len(block)
