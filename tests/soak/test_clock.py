"""A board has no clock of its own: after the power was off it begins in 1970."""

from __future__ import annotations

import random
from pathlib import Path

from tests.lab.lab import Lab
from tests.soak.device import DEADLINE, Device, device

NO_CLOCK = ("-rtc", "base=1970-01-01T00:00:00")
EPOCH = "/usr/lib/clock-epoch"


def earliest(onsite: Device) -> float:
    """The first moment of this boot that systemd and the services know of; seconds since the epoch."""
    return min(int(entry["__REALTIME_TIMESTAMP"]) for entry in onsite.journal("--boot")) / 1e6


def test_the_clock_is_never_before_the_image_s_date_and_goes_on_after_a_power_cut(
    rdv: Lab, image: Path, tmp_path: Path, chance: random.Random
) -> None:
    with device(rdv, image, tmp_path, chance, more=NO_CLOCK) as onsite:
        onsite.switch_on()
        onsite.wait_online()
        onsite.guest.wait_booted(DEADLINE)
        made = int(onsite.guest.run(["stat", "--format=%Y", EPOCH]).out)
        assert made <= earliest(onsite) < made + 3600
        # An hour later, when it has been written down.
        onsite.guest.run(["date", "--set", "+2 hours"])
        onsite.guest.run(["systemctl", "restart", "systemd-timesyncd.service"])
        was = onsite.guest.clock()
        onsite.cut()
        onsite.switch_on()
        onsite.wait_online()
        onsite.guest.wait_booted(DEADLINE)
        assert onsite.guest.clock() > was
        assert earliest(onsite) >= made
