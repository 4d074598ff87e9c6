"""Slow, huge, binary and flooding input to the real service: memory stays bounded, others notice nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import flood
from tests.lab.attacker import Attacker, attacking
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.topology import CAMERA, RDV_NAME
from vtunlib.errors import NotAllowed

SOURCE = Path(flood.__file__).read_text(encoding="utf-8")
SERVICES = ["tundev-shell", "vtun-manager"]
GROWTH = 48 * 1024
"""KiB that a service may have more during a flood than before it; one endless line alone sends gigabytes."""
HALF_OPEN = 90
"""Connections that never log in: below where sshd begins to turn away at random (MaxStartups)."""
HOLDER = """
import socket, sys, time
held = [socket.create_connection((sys.argv[1], 2222)) for _ in range(int(sys.argv[2]))]
print("holding", flush=True)
time.sleep(60)
"""


@pytest.fixture
def attacker(lab: Lab) -> Iterator[Attacker]:
    with attacking(lab) as found:
        yield found


def memory(lab: Lab, service: str) -> int:
    """KiB that the service has for itself, by the kernel (proc(5), Pss)."""
    pid = lab.rdv.run(["systemctl", "show", "--property=MainPID", "--value", service]).out.strip()
    told = lab.rdv.run(["cat", f"/proc/{pid}/smaps_rollup"]).out
    found = re.search(r"^Pss:\s+(\d+) kB$", told, re.M)
    assert found
    return int(found[1])


def others_are_served(lab: Lab) -> None:
    """Another device's commands are answered, and the session of others carries."""
    assert lab.plan.sites[0].account in lab.masters[1].run(["masterdev", "list"], deadline=15).out
    assert lab.laptop.ping(str(CAMERA)).code == 0


def test_a_flood_of_one_device_is_its_own_trouble(attacker: Attacker) -> None:
    lab = attacker.lab
    lab.laptop.dhcp()
    before = {service: memory(lab, service) for service in SERVICES}
    pids = lab.rdv.run(["systemctl", "show", "--property=MainPID", *SERVICES]).out
    said = {}
    with attacker.device_offline():
        for kind in flood.FLOODS:
            argv = attacker.as_user(attacker.account, "python3", "-c", SOURCE, kind)
            with lab.rdv.start(argv) as flooding:
                flooding.wait_line("flooding")
                others_are_served(lab)
                for service in SERVICES:
                    grown = memory(lab, service) - before[service]
                    assert grown < GROWTH, f"{service} has {grown} KiB more during {kind}"
                assert flooding.wait() == 0, flooding.text
                said[kind] = flooding.text
    # The same processes still, each flood was one, and what was said to it is what should be.
    assert lab.rdv.run(["systemctl", "show", "--property=MainPID", *SERVICES]).out == pids
    assert "onsite" in said["slow"]
    for kind in ("endless line", "binary", "deaf"):
        sent = re.search(r"sent (\d+)", said[kind])
        assert sent and int(sent[1]) > 10_000, said[kind]
    assert "*** " in said["binary"]
    refused = re.search(r"refused (\d+)", said["crowd"])
    assert refused and int(refused[1]) > 0, said["crowd"]


def test_connections_that_never_log_in_keep_nobody_out(attacker: Attacker) -> None:
    holder = ["python3", "-c", HOLDER, RDV_NAME, str(HALF_OPEN)]
    rdv = attacker.lab.rdv
    attacker.lab.laptop.dhcp()
    count = ["ss", "-H", "-t", "-n", "state", "established", "sport", "=", ":2222"]
    with attacker.machine.start(holder) as holding:
        holding.wait_line("holding")
        wait_until(lambda: len(rdv.run(count).out.splitlines()) >= HALF_OPEN, what="all connections held")
        assert attacker.ssh(command="id").code == NotAllowed.exit_code  # it was let in, to be refused
        others_are_served(attacker.lab)
