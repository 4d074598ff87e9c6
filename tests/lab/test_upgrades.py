"""Packages exchanged while they work: the sessions of the RDV survive it, a device is back by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import packages
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.roles import DIST, Role, packages_of
from tests.lab.test_kills import BACK, ROLES, carries, connections, device, is_over, main_pid, works_again
from tests.lab.test_sessions import account, listed, session
from tests.lab.test_tls import wait_online_by
from tests.lab.test_wrong_input import status
from tests.lab.topology import CAMERA

SERVERS = ("rdv-sshd.service", "rdv-stunnel.service")
"""What the devices are connected through."""


def since(lab: Lab) -> dict[str, str]:
    """Since when each device is online, by account."""
    rows = json.loads(lab.rdv.run(["rdv-admin", "device", "list", "--json"]).out)
    return {row["id"]: row["since"] for row in rows if row["online"]}


def legs(lab: Lab) -> dict[str, int]:
    """The process of each leg of the one session."""
    number = listed(lab)[0]["id"]
    return {role: main_pid(lab.rdv, f"rdv-leg-{number}-{role}.service") for role in ("onsite", "master")}


@pytest.fixture
def offered(lab: Lab, tmp_path: Path) -> Iterator[dict[str, list[str]]]:
    """On the RDV's machine: this version's packages and the next one's. Afterwards it has this one's."""
    debs = packages_of(Role.RDV, DIST)
    this, following = packages.offer(lab.rdv, debs), packages.next_version(debs, tmp_path)
    yield {"this": this, "next": packages.offer(lab.rdv, following)}
    if len(packages.versions(lab.rdv, this)) != 1 or packages.NEXT in str(packages.versions(lab.rdv, this)):
        packages.install(lab.rdv, this)


def test_the_rdv_is_upgraded_with_a_session_up(lab: Lab, offered: dict[str, list[str]]) -> None:
    """Reinstalled, upgraded, downgraded: the connections and the tunnels stay, and no packet is lost."""
    former = connections(lab)
    with session(lab.master, account(lab, 0), "L3"):
        carries(lab, "L3")
        came, tunnels, row = since(lab), legs(lab), listed(lab)[0]
        servers = {unit: main_pid(lab.rdv, unit) for unit in SERVERS}
        with lab.laptop.losing_nothing(str(CAMERA)):
            for which in ("this", "next", "this"):
                shell, manager = (
                    main_pid(lab.rdv, unit) for unit in ("tundev-shell.service", "vtun-manager.service")
                )
                packages.install(lab.rdv, offered[which])
                assert main_pid(lab.rdv, "tundev-shell.service") != shell
                assert main_pid(lab.rdv, "vtun-manager.service") != manager
                assert not lab.rdv.failed_units()
                lab.wait_online(deadline=BACK)
                assert since(lab) == came and connections(lab) == former and legs(lab) == tunnels
                assert [(one["id"], one["state"]) for one in listed(lab)] == [(row["id"], "up")]
                # Read again, and not started again.
                assert {unit: main_pid(lab.rdv, unit) for unit in SERVERS} == servers
        assert lab.master.run(["masterdev", "disconnect"]).code == 0
        is_over(lab)
    works_again(lab, "L3", former)


def test_the_rdv_is_removed_with_a_session_up_and_installed_again(
    lab: Lab, offered: dict[str, list[str]]
) -> None:
    """Nothing runs any more, but the configuration stays: the devices come back without being touched."""
    former = connections(lab)
    kept = [
        "sh",
        "-c",
        "sha256sum /etc/rdv/*.toml /etc/rdv/*key /etc/rdv/keys/* /etc/rdv/devices.d/* /etc/rdv/tls/*",
    ]
    with session(lab.master, account(lab, 0), "L3"):
        carries(lab, "L3")
        files = lab.rdv.run(kept).out
        names = [Path(name).name.split("_")[0] for name in offered["this"]]
        lab.rdv.run([*packages.APT, "remove", *names], deadline=120)
        # What was enabled is known by name still, until it is purged.
        listing = ["systemctl", "list-units", "--state=active,failed", "--plain", "--no-legend"]
        units = [*listing, "*rdv*", "*dev-shell*", "vtun-*"]
        assert lab.rdv.run(units).out == ""
        assert lab.rdv.run(["ip", "netns", "list"]).out == ""
        assert lab.rdv.run(["ss", "-H", "-l", "-n", "-t", "sport", "=", ":2222"]).out == ""
        assert not any(connections(lab).values())
        assert lab.rdv.run(kept).out == files
        packages.install(lab.rdv, offered["this"])
    works_again(lab, "L3", former, redialled=former)
    dial_directly(lab)


def dial_directly(lab: Lab) -> None:
    """Who came back while only 443 was served stays with TLS until its agent starts anew."""
    for unit, machines in (("onsitedev", lab.onsites), ("masterdev", lab.masters)):
        for machine in machines:
            if status(machine).get("transport") != "ssh":
                machine.run(["systemctl", "restart", unit])
            wait_online_by(machine, "ssh")


@contextmanager
def broken(machine: Machine, file: str, text: str) -> Iterator[None]:
    """While the block runs, the file ends with this text."""
    kept = machine.run(["cat", file]).out
    with machine.saying(f"{kept}\n{text}\n", file):
        yield


@pytest.mark.parametrize(
    ("unit", "file", "port"),
    [("rdv-sshd.service", "sshd_config", 2222), ("rdv-stunnel.service", "stunnel.conf", 443)],
)
def test_a_configuration_that_is_not_taken_changes_nothing(
    lab: Lab, offered: dict[str, list[str]], unit: str, file: str, port: int
) -> None:
    """Neither a reload nor an upgrade nor a restart leaves the devices without their server."""
    former, pid = connections(lab), main_pid(lab.rdv, unit)

    def serves() -> bool:
        listeners = lab.rdv.run(["ss", "-H", "-l", "-n", "-t", "sport", "=", f":{port}"]).out
        return bool(listeners) and lab.rdv.run(["systemctl", "is-active", unit], check=False).code == 0

    with broken(lab.rdv, f"/etc/rdv/{file}", "NoSuchWord = 1"):
        assert lab.rdv.run(["systemctl", "reload", unit], check=False).code != 0
        assert main_pid(lab.rdv, unit) == pid and serves()
        told = packages.install(lab.rdv, offered["this"])
        assert f"{unit} goes on as it was" in told
        assert main_pid(lab.rdv, unit) == pid and serves()
        # By then systemd has stopped the former one: the last configuration that was good is served.
        lab.rdv.run(["systemctl", "restart", unit])
        assert main_pid(lab.rdv, unit) != pid
        wait_until(serves, what=f"{unit} serving")
        assert f"/etc/rdv/{file} is refused" in lab.rdv.journal(unit)
        status = json.loads(lab.rdv.run(["rdv-admin", "status", "--json"]).out)
        assert file in {warning["key"] for warning in status["warnings"]}
        lab.wait_online(deadline=BACK)
        assert connections(lab) == former
    lab.rdv.run(["systemctl", "reload", unit])
    assert connections(lab) == former


@ROLES
def test_a_device_is_upgraded_with_a_session_up(lab: Lab, role: str, tmp_path: Path) -> None:
    """Its session ends, and the device is there again by itself."""
    machine, kind = device(lab, role), Role(role)
    debs = packages_of(kind, DIST)
    this, following = packages.offer(machine, debs), packages.next_version(debs, tmp_path)
    former = connections(lab)
    try:
        with session(lab.master, account(lab, 0), "L3"):
            carries(lab, "L3")
            packages.install(machine, packages.offer(machine, following))
            assert all(packages.NEXT in version for version in packages.versions(machine, this))
            is_over(lab)
        assert not machine.failed_units()
        own = account(lab, 0) if role == "onsite" else lab.plan.desks[0].account
        works_again(lab, "L3", former, redialled=[own])
    finally:
        packages.install(machine, this)
