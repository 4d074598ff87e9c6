"""How long it takes from an adapter that is plugged in to the laptop's address."""

from __future__ import annotations

import statistics

from tests.bench.figures import Figure
from tests.image.desk import ADAPTERS, desk_alone

PLUGS = 5


def hotplug() -> list[Figure]:
    """In seconds of a master in QEMU, which does as much in one as tests.image.guest says."""
    with desk_alone("benchdesk") as desk:
        times = []
        for _ in range(PLUGS):
            _, seconds = desk.plug_for_lease(ADAPTERS[0])
            times.append(seconds)
            desk.unplug(ADAPTERS[0])
            desk.becomes("absent")
    return [
        Figure("adapter in to the laptop's lease, emulated, median", statistics.median(times), "s", PLUGS),
        Figure("adapter in to the laptop's lease, emulated, slowest", max(times), "s", PLUGS),
    ]
