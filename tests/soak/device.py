"""A device in QEMU that an RDV of the lab knows: its power is cut, and it comes online again."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.image.device import added
from tests.image.guest import Guest
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.topology import RDV
from tests.soak.card import Card
from tundev.firstboot.boot_partition import STATUS
from vtunlib.tunnel import Role

ACCOUNT = "rpi1300"
DEADLINE = 900.0
"""Seconds of this machine's clock for what a Pi does in one minute: it is emulated, beside other work."""
_EVERY = 0.5


class Device:
    """One that the RDV knows. `chance` decides what of its writes a power cut loses."""

    def __init__(self, lab: Lab, card: Card, chance: random.Random, *, more: Sequence[str] = ()) -> None:
        self._lab = lab
        self.card = card
        self._chance = chance
        self._more = more
        self.guest: Guest
        self.since = 0.0
        """When it was switched on, by time.monotonic()."""

    def switch_on(self, *words: str) -> None:
        """Its card put in, and power, and nothing waited for; `words` are for the kernel."""
        folder = self._lab.camera.path
        # Paced: else a busy machine would have it miss the product's own deadlines, boot after boot.
        self.guest = Guest("onsite", self._lab.camera, self.card.put_in(*words), folder, more=self._more)
        self.guest.power_on()
        self.since = time.monotonic()

    def cut(self) -> None:
        """Its power goes, and the card is what that leaves; the file systems are sound."""
        self.guest.stop()
        lost = self.card.pull_out(self._chance)
        faults = self.card.faults()
        assert not faults, f"{lost} writes were lost: {faults}"
        wait_until(lambda: not self.online, what="offline", deadline=DEADLINE, every=_EVERY)

    @property
    def online(self) -> bool:
        """Whether the RDV has it so."""
        return ACCOUNT in self._lab.online()

    def wait_online(self) -> None:
        """Until the RDV has it so."""
        self._lab.wait_online([ACCOUNT], deadline=DEADLINE)

    def wait_told(self, words: str) -> str:
        """Until tundev-status.txt on its boot partition says so; all of it, on one line."""
        told = ""

        def says() -> bool:
            nonlocal told
            told = " ".join(self.guest.run(["cat", f"/boot/firmware/{STATUS}"], check=False).out.split())
            return words in told

        try:
            wait_until(says, what=f"{STATUS} says {words!r}", deadline=DEADLINE, every=1.0)
        except Exception as error:
            raise AssertionError(f"{error}; it says: {told}") from error
        return told

    def property(self, unit: str, name: str) -> str:
        """A property of one of its units."""
        return self.guest.run(["systemctl", "show", "--property", name, "--value", unit]).out.strip()

    def journal(self, *words: str) -> list[dict[str, str]]:
        """Entries of its journal."""
        told = self.guest.run(["journalctl", "--output=json", "--no-pager", *words]).out
        return [json.loads(line) for line in told.splitlines()]


@contextmanager
def device(
    lab: Lab,
    image: Path,
    folder: Path,
    chance: random.Random,
    *,
    role: Role = Role.ONSITE,
    size: int = 0,
    more: Sequence[str] = (),
) -> Iterator[Device]:
    """One that is switched off, its card as it is after its bundle was copied there."""
    with added(lab, role, ACCOUNT, str(RDV.ip)) as bundle:
        made = Device(lab, Card(image, bundle, folder / "card", size=size), chance, more=more)
        try:
            yield made
        finally:
            if hasattr(made, "guest"):
                made.guest.stop()
