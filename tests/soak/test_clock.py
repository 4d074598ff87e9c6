"""A board has no clock of its own: after the power was off it begins in 1970."""

from __future__ import annotations

import random
from pathlib import Path

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.soak.device import DEADLINE, Device, device

NO_CLOCK = ("-rtc", "base=1970-01-01T00:00:00")
EPOCH = "/usr/lib/clock-epoch"
SAVED = "/var/lib/systemd/timesync/clock"
SAVE_AT_ONCE = """
mkdir -p /run/systemd/timesyncd.conf.d
printf '[Time]\\nSaveIntervalSec=1\\n' > /run/systemd/timesyncd.conf.d/zz-soak.conf
systemctl restart systemd-timesyncd.service
"""


def earliest(onsite: Device) -> float:
    """The first moment of this boot that systemd and the services know of; seconds since the epoch."""
    return min(int(entry["__REALTIME_TIMESTAMP"]) for entry in onsite.journal("--boot")) / 1e6


def saved(onsite: Device) -> int:
    """The moment that it would go on from after a power cut."""
    return int(onsite.guest.run(["stat", "--format=%Y", SAVED]).out)


def test_the_clock_is_never_before_the_image_s_date_and_goes_on_after_a_power_cut(
    rdv: Lab, image: Path, tmp_path: Path, chance: random.Random
) -> None:
    with device(rdv, image, tmp_path, chance, more=NO_CLOCK) as onsite:
        onsite.switch_on()
        onsite.wait_online()
        onsite.guest.wait_booted(DEADLINE)
        made = int(onsite.guest.run(["stat", "--format=%Y", EPOCH]).out)
        assert made <= earliest(onsite) < made + 3600
        # Two hours later, when the clock has been written down; it is, once an hour, and now at once.
        onsite.guest.run(["date", "--set", "+2 hours"])
        was = onsite.guest.clock()
        onsite.guest.run(["sh", "-c", SAVE_AT_ONCE])
        wait_until(lambda: saved(onsite) >= was, what="the clock written down", deadline=DEADLINE, every=1.0)
        onsite.guest.run(["sync"])
        onsite.cut()
        onsite.switch_on()
        onsite.wait_online()
        onsite.guest.wait_booted(DEADLINE)
        assert onsite.guest.clock() > was
        assert earliest(onsite) >= made
