"""What a service of ours could do at most if its program were the attacker's: `systemd-analyze security`.

It reads the units as they are installed. What is still counted against each is explained in the unit.
"""

from __future__ import annotations

import pytest

from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.process import Result
from tests.lab.roles import PACKAGES, Role

LIMITS = {
    "tundev-shell.service": 2.0,
    "vtun-manager.service": 4.0,
    "onsitedev.service": 2.5,
    "masterdev.service": 2.5,
    "secondary-if-watcher.service": 2.5,
    "masterdev-web.service": 1.5,
    "tundev-uplink-watch.service": 2.0,
    # It makes the mount that is a namespace: nothing that would give it mounts of its own.
    "rdv-netns@.service": 4.5,
}
"""The most that systemd may count, of 10."""
OTHERS = 3.0
"""The same for every unit without a limit of its own."""


def machine_of(lab: Lab, role: Role) -> Machine:
    return {Role.RDV: lab.rdv, Role.ONSITE: lab.onsite, Role.MASTER: lab.master}[role]


def unit_files(machine: Machine, role: Role) -> list[str]:
    """Paths of the services that the role's packages have installed."""
    files = machine.run(["dpkg", "--listfiles", *PACKAGES[role]]).out.splitlines()
    return sorted(path for path in files if "/systemd/system/" in path and path.endswith(".service"))


def exposure(machine: Machine, file: str, limit: float) -> Result:
    """systemd's verdict on that unit file; its exit code is 1 above the limit."""
    threshold = f"--threshold={limit * 10:.0f}"
    return machine.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", threshold, file], check=False
    )


@pytest.mark.parametrize("role", list(Role))
def test_each_unit_is_exposed_to_its_limit_at_most(lab: Lab, role: Role) -> None:
    machine = machine_of(lab, role)
    files = unit_files(machine, role)
    assert files
    above = []
    for file in files:
        limit = LIMITS.get(file.rsplit("/", 1)[1], OTHERS)
        verdict = exposure(machine, file, limit)
        assert "Overall exposure level" in verdict.out, verdict.err
        if verdict.code:
            above.append(f"above {limit}: {verdict.out.strip().splitlines()[-1]}")
    assert not above, "\n".join(above)
    # The verdict can be the other one.
    assert exposure(machine, files[0], 0.0).code == 1


@pytest.mark.parametrize("role", list(Role))
def test_what_runs_is_as_tight_as_its_file(lab: Lab, role: Role) -> None:
    """No drop-in and nothing that the running systemd does not know takes away from it."""
    machine = machine_of(lab, role)
    for file in unit_files(machine, role):
        unit = file.rsplit("/", 1)[1]
        if unit in LIMITS and "@" not in unit:
            threshold = f"--threshold={LIMITS[unit] * 10:.0f}"
            verdict = machine.run(["systemd-analyze", "security", "--no-pager", threshold, unit], check=False)
            assert verdict.code == 0, verdict.out


@pytest.mark.parametrize("role", [Role.ONSITE, Role.MASTER])
def test_the_devices_key_is_for_its_ssh_alone(lab: Lab, role: Role) -> None:
    machine = machine_of(lab, role)
    key = "/etc/tundev/id_ed25519"
    assert machine.run(["stat", "-c", "%U:%G %a", key]).out.strip() == "root:tundev 640"
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "cat", key]
    assert "Permission denied" in machine.run(as_nobody, check=False).err
