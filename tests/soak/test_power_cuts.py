"""The power goes at any moment, of a running onsite and of its boots; it is online again each time."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.lab.lab import Lab
from tests.soak.device import DEADLINE, device

CUTS = 20
LATEST = 1.8
"""Of the time from power to online, when the power goes: almost half of the cuts meet a device that is."""


def test_it_comes_back_after_twenty_power_cuts(
    rdv: Lab, image: Path, tmp_path: Path, chance: random.Random
) -> None:
    with device(rdv, image, tmp_path, chance) as onsite:
        onsite.switch_on()
        onsite.wait_online()
        onsite.guest.wait_booted(DEADLINE)
        onsite.cut()
        onsite.switch_on()
        onsite.wait_online()
        needs = time.monotonic() - onsite.since
        for number in range(1, CUTS + 1):
            moment = chance.uniform(0.0, LATEST * needs)
            if moment < time.monotonic() - onsite.since:
                onsite.cut()
                onsite.switch_on()
            time.sleep(max(0.0, onsite.since + moment - time.monotonic()))
            was = "online" if onsite.online else "on its way"
            onsite.cut()
            print(f"cut {number} of {CUTS}: {moment:.1f} s after power, {was}", flush=True)
            onsite.switch_on()
            onsite.wait_online()
        assert onsite.guest.wait_booted(DEADLINE) == []
