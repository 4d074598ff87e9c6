"""The packages in a bare Debian: installed they work, purged nothing of them is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.base import base_root
from tests.lab.clean import clean
from tests.lab.machine import Machine
from tests.lab.place import Place
from tests.lab.roles import DIST, Role, packages_of

UNITS: dict[Role, list[str]] = {
    Role.RDV: ["rdv-sshd.service", "vtun-manager.service", "tundev-shell.service", "onsitedev-shell.socket"],
    Role.ONSITE: [],
    Role.MASTER: [],
}
"""Active right after the installation; a device's agent waits for its configuration."""
ENABLED = {
    Role.RDV: ["rdv-sshd.service", "vtun-manager.service", "tundev-shell.service"],
    Role.ONSITE: ["onsitedev.service"],
    Role.MASTER: ["masterdev.service"],
}
WHERE = ["/etc", "/usr", "/var/lib", "/run", "/lib"]
# What Debian itself keeps of any package, and what belongs to programs that ours only needs.
NOT_OURS = "/var/lib/dpkg|/var/lib/apt|/var/log|/var/cache|/usr/share/doc|/__pycache__|/run/systemd|/run/udev"


@pytest.fixture
def place() -> Iterator[Place]:
    with Place("packages") as place:
        clean(place)
        place.mount()
        try:
            yield place
        finally:
            clean(place)


def ours(machine: Machine) -> list[str]:
    """Files, accounts and groups that carry our names."""
    names = [
        "-name",
        "*rdv*",
        "-o",
        "-name",
        "*tundev*",
        "-o",
        "-name",
        "*sitedev*",
        "-o",
        "-name",
        "*vtunlib*",
    ]
    found = machine.run(["find", *WHERE, "-xdev", "(", *names, ")"], check=False).out.splitlines()
    left = [path for path in found if not any(part in path for part in NOT_OURS.split("|"))]
    for database in ("passwd", "group"):
        lines = machine.run(["getent", database]).out.splitlines()
        left += [line for line in lines if line.startswith(("rdv", "tundev", "rpi"))]
    return left


@pytest.mark.parametrize("role", list(Role))
def test_install_reinstall_and_purge(place: Place, role: Role) -> None:
    offered = place.path / "debs"
    offered.mkdir()
    debs = packages_of(role, DIST)
    for deb in debs:
        (offered / deb.name).write_bytes(deb.read_bytes())
    machine = Machine(place, f"bare{role}", [base_root()], binds=[f"--bind-ro={offered}:/debs"])
    machine.create()
    machine.boot()
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes"]
    install = [
        *apt,
        "install",
        "--no-install-recommends",
        "--reinstall",
        *(f"/debs/{deb.name}" for deb in debs),
    ]
    for _ in range(2):
        machine.run(install, deadline=180)
        assert not machine.failed_units()
        for unit in UNITS[role]:
            assert machine.run(["systemctl", "is-active", unit], check=False).out.strip() == "active", unit
        for unit in ENABLED[role]:
            assert machine.run(["systemctl", "is-enabled", unit], check=False).out.strip() == "enabled", unit
    if role is Role.RDV:
        machine.run(["rdv-admin", "device", "add", "rpi1100", "--role", "onsite"])
        assert machine.run(["ss", "-H", "-l", "-n", "-t", "sport", "=", ":2222"]).out
    machine.run([*apt, "purge", *(deb.name.split("_")[0] for deb in debs)], deadline=120)
    assert ours(machine) == []
    assert not machine.failed_units()
    machine.stop()
