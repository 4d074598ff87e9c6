"""A device's card, as a person and a power cut find it: put in, pulled out, looked at, changed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image.provisioning import provision
from tests.image.card import ROOM, Disk, boot_files, copy, faults, mountable, partition, text_on
from tests.lab.process import run
from tests.soak.write_log import cuts, entries, replay


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
        copy(self.file, self._part, partition(self.file, number))
        return self._part

    def mountable(self, number: int) -> Path:
        """As `partition`, of an ext4 one, whose journal is played back as a mount does it."""
        mountable(self.file, number, self._part)
        return self._part

    def faults(self, *, root: bool = True) -> list[str]:
        """What the file systems' checks find. root: whether that is looked at too, which takes seconds."""
        return faults(self.file, self._part, root=root)

    def read(self, name: str) -> str:
        """A file of the boot partition; LabError without it."""
        return text_on(self.file, name)

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
