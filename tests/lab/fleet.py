"""One RDV server by itself, and thousands of onsites' connections to its tundev shell.

Each connection is of an account of its own and real, as the kernel and the manager
see it; what is missing is the way to it, an SSH connection and a relay for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.clean import clean
from tests.lab.machine import Machine
from tests.lab.place import Place
from tests.lab.process import LabError, Program
from tests.lab.roles import Role, layers

SIZE = 3000
SHELL = "tundev-shell.service"
_CLIENT = Path(__file__).with_name("fleet_client.py")
_DEADLINE = 240.0


@contextmanager
def rdv_alone() -> Iterator[Machine]:
    """An RDV server without a network."""
    with Place("fleet") as place:
        clean(place)
        place.mount()
        try:
            machine = Machine(place, "rdv", layers(place, {Role.RDV})[Role.RDV])
            machine.create()
            if failed := machine.boot():
                raise LabError(f"failed units: {', '.join(failed)}")
            yield machine
            machine.end_programs()
            machine.stop()
        finally:
            clean(place)


@contextmanager
def dialled(rdv: Machine, size: int = SIZE) -> Iterator[Program]:
    """So many onsites, made, dialled in and waiting for a master."""
    rdv.copy_in(_CLIENT.read_text(encoding="utf-8"), "/root/fleet_client.py")
    with rdv.start(["/usr/bin/python3", "/root/fleet_client.py", str(size)]) as fleet:
        fleet.wait_line("waiting", deadline=_DEADLINE)
        yield fleet


def asked(fleet: Program) -> dict[str, object]:
    """What the onsites got, each asked once: how many right answers, who was closed, what was wrong."""
    fleet.lines.clear()
    fleet.say("\n")
    line = fleet.wait_line(lambda line: line.startswith("{"), deadline=_DEADLINE)
    told: dict[str, object] = json.loads(line)
    return told


def online(rdv: Machine) -> dict[str, str]:
    """Since when each device is, by account."""
    rows = json.loads(rdv.run(["rdv-admin", "device", "list", "--json"], deadline=60).out)
    return {row["id"]: row["since"] for row in rows if row["online"]}
