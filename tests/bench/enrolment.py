"""How long a device takes from its first start with a bundle until it is online."""

from __future__ import annotations

import datetime
import json
import statistics
import time

from tests.bench.figures import Figure
from tests.lab.lab import Lab
from tests.lab.test_enrolment import flash, re_enrol

ROUNDS = 5


def until_online(lab: Lab) -> float:
    """Seconds from the start of the agent to the instant at which the RDV had the device online."""
    machine, name = lab.onsite, lab.plan.sites[0].account
    bundle = re_enrol(lab, name, "--now")
    # Lab and machines have one clock.
    flash(machine, bundle, start=False)
    started = time.time()
    machine.run(["systemctl", "start", "onsitedev"])
    lab.wait_online([name])
    argv = ["rdv-admin", "audit", "--device", name, "--kind", "online", "--json"]
    came = json.loads(lab.rdv.run(argv).out)[-1]["at"]
    return datetime.datetime.fromisoformat(came).timestamp() - started


def enrolments(lab: Lab, rounds: int = ROUNDS) -> list[Figure]:
    """The device makes its key, is refused with it, enrols, and dials with its own."""
    times = [until_online(lab) for _ in range(rounds)]
    return [
        Figure("first start with a bundle to online, median", statistics.median(times), "s", rounds),
        Figure("first start with a bundle to online, slowest", max(times), "s", rounds),
    ]
