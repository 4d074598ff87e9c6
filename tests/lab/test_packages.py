"""The packages in a bare Debian: installed they work, removed they stop, purged nothing of them is left."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.lab import packages
from tests.lab.base import base_root
from tests.lab.clean import clean
from tests.lab.machine import Machine
from tests.lab.place import Place
from tests.lab.roles import DIST, Role, newest, packages_of

ENABLED = {
    Role.RDV: ["rdv-sshd.service", "rdv-stunnel.service", "vtun-manager.service", "tundev-shell.service"],
    Role.ONSITE: ["onsitedev.service"],
    Role.MASTER: ["masterdev.service"],
}
ACTIVE: dict[Role, list[str]] = {
    Role.RDV: [*ENABLED[Role.RDV], "onsitedev-shell.socket", "masterdev-shell.socket"],
    Role.ONSITE: [],
    Role.MASTER: [],
}
"""Active right after the installation; a device's agent waits for its configuration."""
PORTS = {Role.RDV: {2222, 443}, Role.ONSITE: set[int](), Role.MASTER: set[int]()}
NAMES = [
    *("*rdv*", "*tundev*", "*sitedev*", "*masterdev*", "*vtunlib*", "*vtun-manager*"),
    "*secondary-if-watcher*",
]
"""What carries one of these names is ours."""
WHERE = ["/etc", "/usr", "/var", "/run", "/lib", "/root"]
# What Debian itself keeps of any package, and what it tells of the past.
NOT_OURS = ("/var/lib/dpkg/", "/var/lib/apt/", "/var/log/", "/var/cache/", "/run/udev/")


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
    """Files, units, accounts, groups, namespaces that carry our names."""
    names = [word for name in NAMES for word in ("-o", "-name", name)][1:]
    found = machine.run(["find", *WHERE, "-xdev", "(", *names, ")"], check=False).out.splitlines()
    left = [path for path in found if not path.startswith(NOT_OURS)]
    for database in ("passwd", "group"):
        lines = machine.run(["getent", database]).out.splitlines()
        left += [line for line in lines if line.startswith(("rdv", "tundev", "rpi"))]
    units = ["systemctl", "list-units", "--all", "--plain", "--no-legend", *NAMES]
    for argv in (units, ["ip", "netns", "list"]):
        left += machine.run(argv).out.splitlines()
    return left


def listening(machine: Machine) -> set[int]:
    """TCP ports."""
    lines = machine.run(["ss", "-H", "-l", "-n", "-t"]).out.splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines}


def own_sshd(machine: Machine) -> str:
    """The host's own sshd: its files, its process."""
    files = machine.run(
        ["sh", "-c", "sha256sum /etc/ssh/* /etc/ssh/*/* /etc/pam.d/sshd 2>/dev/null"], check=False
    )
    return files.out + machine.run(["systemctl", "show", "-p", "MainPID,ActiveState", "ssh.service"]).out


def works(machine: Machine, role: Role) -> None:
    """All of it runs, and nothing else is listened on than is said."""
    assert not machine.failed_units()
    for unit in ACTIVE[role]:
        assert machine.run(["systemctl", "is-active", unit], check=False).out.strip() == "active", unit
    for unit in ENABLED[role]:
        assert machine.run(["systemctl", "is-enabled", unit], check=False).out.strip() == "enabled", unit


@pytest.mark.parametrize("role", list(Role))
def test_install_reinstall_remove_and_purge(place: Place, role: Role) -> None:
    machine = Machine(place, f"bare{role}", [base_root()])
    machine.create()
    machine.boot()
    debs = packages.offer(machine, packages_of(role, DIST))
    names = [deb.name.split("_")[0] for deb in packages_of(role, DIST)]
    before, ports = own_sshd(machine), listening(machine)
    assert 22 in ports
    for _ in range(2):
        packages.install(machine, debs)
        works(machine, role)
        assert listening(machine) == ports | PORTS[role]
        assert own_sshd(machine) == before
    if role is Role.RDV:
        machine.run(["rdv-admin", "device", "add", "rpi1100", "--role", "onsite"])
    machine.run([*packages.APT, "remove", *names], deadline=120)
    assert not machine.failed_units()
    assert listening(machine) == ports
    if role is Role.RDV:
        packages.install(machine, debs)
        works(machine, role)
        assert "rpi1100" in machine.run(["rdv-admin", "device", "list"]).out
    machine.run([*packages.APT, "purge", *names], deadline=120)
    assert "\n".join(ours(machine)) == ""
    assert not machine.failed_units()
    assert own_sshd(machine) == before and listening(machine) == ports
    machine.stop()


def test_lintian_has_nothing_against_the_packages() -> None:
    """Nor an override without a reason: lintian prints none of those, so they are in debian/ to be read."""
    debs = [str(deb) for role in Role for deb in packages_of(role, DIST)] + [str(newest("tundev-image"))]
    argv = [
        "lintian",
        "--allow-root",
        "--fail-on=error,warning,info,pedantic",
        "--display-info",
        "--pedantic",
    ]
    done = subprocess.run(
        [*argv, *sorted(set(debs))], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout
