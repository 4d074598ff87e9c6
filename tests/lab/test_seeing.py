"""What the admin sees while sessions come and go, and how a device is cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.process import Program
from tests.lab.test_sessions import account, listed, session
from tests.lab.test_wrong_input import connect, refused, status, stopped
from tests.lab.topology import CAMERA
from vtunlib.errors import Draining, NotFound, NotOnline

SETTINGS = "/etc/rdv/rdv.toml"
METRICS = "/run/rdv/metrics.sock"


def seen(lab: Lab) -> dict[str, Any]:
    """What `rdv-admin status` has to tell."""
    told: dict[str, Any] = json.loads(lab.rdv.run(["rdv-admin", "status", "--json"]).out)
    return told


def device(lab: Lab, name: str) -> dict[str, Any]:
    """A device's row of it."""
    (row,) = [row for row in seen(lab)["devices"] if row["id"] == name]
    return dict(row)


def metrics(lab: Lab) -> dict[str, float]:
    """By name with labels."""
    curl = ["curl", "--silent", "--fail", "--max-time", "5", "--unix-socket", METRICS, "http://rdv/metrics"]
    lines = [line for line in lab.rdv.run(curl).out.splitlines() if line.startswith("rdv_")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@contextmanager
def metrics_served(lab: Lab) -> Iterator[None]:
    """With metrics on; afterwards the settings are as they were. The manager is restarted twice."""
    former = lab.rdv.run(["cat", SETTINGS]).out
    try:
        lab.rdv.run(["tee", SETTINGS], stdin=f'[metrics]\nlisten = "unix:{METRICS}"\n')
        lab.rdv.run(["systemctl", "restart", "vtun-manager"])
        lab.wait_online()
        yield
    finally:
        lab.rdv.run(["tee", SETTINGS], stdin=former)
        lab.rdv.run(["systemctl", "restart", "vtun-manager"])


def event(watch: Program, kind: str, name: str) -> dict[str, Any]:
    """The next such event of that device in `rdv-admin watch --json`."""

    def is_it(line: str) -> bool:
        row = json.loads(line)
        return bool(row.get("kind") == kind and row["device"] == name)

    return dict(json.loads(watch.wait_line(is_it)))


def test_a_session_is_seen_from_its_opening_to_its_end_also_over_a_restart_of_the_manager(lab: Lab) -> None:
    onsite, master = account(lab, 0), lab.plan.desks[0].account
    with metrics_served(lab), lab.rdv.start(["rdv-admin", "watch", "--json"]) as watch:
        assert len(json.loads(watch.wait_line('"now"'))["now"]["devices"]) == 4
        before = metrics(lab)
        assert before['rdv_devices_online{role="onsite"}'] == before['rdv_devices_online{role="master"}'] == 2
        lab.laptop.dhcp()
        with session(lab.master, onsite, "L3"):
            number = event(watch, "session-opened", onsite)["session"]
            assert event(watch, "session-up", onsite)["session"] == number
            assert lab.laptop.ping(str(CAMERA), size=1472).code == 0
            (row,) = seen(lab)["sessions"]
            assert (row["id"], row["master"], row["mode"], row["state"]) == (number, master, "L3", "up")
            assert row["to_onsite"] > 1472 < row["from_onsite"] and row["rtt_ms"] > 0
            shown = lab.rdv.run(["rdv-admin", "status"]).out
            assert number in shown and "DEVICES (4 of 4 online)" in shown and "WARNINGS" not in shown
            assert number in lab.rdv.run(["rdv-admin", "session", "list"]).out
            during = metrics(lab)
            assert during['rdv_sessions{mode="L3",state="up"}'] == 1
            assert during["rdv_session_setup_seconds_count"] == 1
            assert during['rdv_tunnel_bytes_total{direction="to_onsite"}'] > 1472
            lab.rdv.run(["systemctl", "restart", "vtun-manager"])
            assert json.loads(watch.wait_line('{"now": null}')) == {"now": None}
            watch.wait_line(lambda line: f'"id": "{number}"' in line and "session-opened" not in line)
            lab.wait_online()
            assert lab.laptop.ping(str(CAMERA), size=1472).code == 0
            during = metrics(lab)
            # What it had before the restart is not counted twice.
            assert 1472 < during['rdv_tunnel_bytes_total{direction="to_onsite"}'] < row["to_onsite"] + 3000
        ended = event(watch, "session-ended", onsite)
        assert ended["more"]["to_onsite"] > row["to_onsite"]
        after = metrics(lab)
        assert after['rdv_sessions{mode="L3",state="up"}'] == 0
        name = 'rdv_tunnel_bytes_total{direction="to_onsite"}'
        assert after[name] >= during[name]


def test_a_device_is_shown_with_its_version_and_when_it_was_last_seen(lab: Lab) -> None:
    name, own = account(lab, 1), lab.rdv.run(["rdv-admin", "--version"]).out.split()[1]
    assert device(lab, name)["version"] == own != "checkout"
    with stopped(lab.onsites[1], "onsitedev.service"):
        wait_until(lambda: not device(lab, name)["online"], what="offline")
        row = device(lab, name)
        assert row["last_seen"] and "since" not in row
        (line,) = [line for line in lab.rdv.run(["rdv-admin", "status"]).out.splitlines() if name in line]
        assert "offline" in line
        with stopped_manager(lab):
            text = lab.rdv.run(["rdv-admin", "status"]).out
            assert "the manager does not run" in text and name in text


@contextmanager
def stopped_manager(lab: Lab) -> Iterator[None]:
    """Without the manager."""
    lab.rdv.run(["systemctl", "stop", "vtun-manager"])
    try:
        yield
    finally:
        lab.rdv.run(["systemctl", "start", "vtun-manager"])


def test_a_drained_server_takes_no_new_session_and_keeps_those_it_has(lab: Lab) -> None:
    drain = ["rdv-admin", "drain"]
    with session(lab.masters[0], account(lab, 0), "L3"):
        lab.laptop.dhcp()
        try:
            for _ in range(2):
                lab.rdv.run([*drain, "--reason", "new kernel at 18:00"])
            refused(connect(lab.masters[1], account(lab, 1)), Draining, "new kernel at 18:00", "try again")
            lab.rdv.run(["systemctl", "restart", "vtun-manager"])
            lab.wait_online()
            refused(connect(lab.masters[1], account(lab, 1)), Draining, "new kernel at 18:00")
            assert seen(lab)["server"]["drain"]["reason"] == "new kernel at 18:00"
            assert lab.laptop.ping(str(CAMERA)).code == 0
        finally:
            for _ in range(2):
                lab.rdv.run([*drain, "--off"])
        with session(lab.masters[1], account(lab, 1), "L3"):
            assert len(listed(lab)) == 2
    audit = json.loads(lab.rdv.run(["rdv-admin", "audit", "--kind", "drain", "--json"]).out)
    assert [row["more"]["on"] for row in audit[-2:]] == [True, False]


def running(lab: Lab, name: str) -> str:
    """What runs as the device's account."""
    return lab.rdv.run(["ps", "-u", name, "-o", "pid=,args="], check=False).out


@contextmanager
def disabled(lab: Lab, machine: Machine, name: str) -> Iterator[None]:
    """Cut off; afterwards enabled and online again."""
    unit = "onsitedev.service" if machine in lab.onsites else "masterdev.service"
    lab.rdv.run(["rdv-admin", "device", "disable", name])
    try:
        yield
    finally:
        lab.rdv.run(["rdv-admin", "device", "enable", name])
        machine.run(["systemctl", "restart", unit])  # it has been trying at longer and longer intervals
        lab.wait_online([name])


@pytest.mark.parametrize("role", ["onsite", "master"])
def test_a_disabled_device_loses_session_and_connection_and_comes_back_only_when_enabled(
    lab: Lab, role: str
) -> None:
    machine = lab.onsite if role == "onsite" else lab.master
    name = account(lab, 0) if role == "onsite" else lab.plan.desks[0].account
    with lab.master.start(["masterdev", "connect", account(lab, 0)]) as command:
        command.wait_line("Ctrl-C ends the session", deadline=30)
        with disabled(lab, machine, name):
            # By the time that the command has ended; nothing here is waited for.
            assert running(lab, name) == ""
            assert listed(lab) == []
            row = device(lab, name)
            assert row["disabled"] and not row["online"]
            command.wait_line("the session is over", deadline=15)
            wait_until(lambda: "does not take account" in status(machine).get("failure", ""), what="refused")
            if role == "onsite":
                refused(connect(lab.master, name), NotOnline)
            # The same again changes nothing, and what is done while it is disabled lets it not in.
            lab.rdv.run(["rdv-admin", "device", "disable", name])
            lab.rdv.run(["systemctl", "restart", "rdv-sshd", "vtun-manager"])
            machine.run(["systemctl", "restart", f"{role}dev.service"])
            wait_until(lambda: "does not take account" in status(machine).get("failure", ""), what="refused")
            assert not device(lab, name)["online"]
    with session(lab.master, account(lab, 0), "L3"):
        assert len(listed(lab)) == 1


def test_a_device_is_cut_off_without_the_manager_too(lab: Lab) -> None:
    name = account(lab, 0)
    lab.laptop.dhcp()
    with session(lab.master, name, "L3"):
        assert lab.laptop.ping(str(CAMERA)).code == 0
        with stopped_manager(lab), disabled_meanwhile(lab, name):
            assert running(lab, name) == ""
            assert lab.laptop.ping(str(CAMERA), wait=1).code != 0
            lab.rdv.run(["systemctl", "start", "vtun-manager"])
            wait_until(lambda: not listed(lab), what="the session is over", deadline=20)
            assert not device(lab, name)["online"]
    lab.onsite.run(["systemctl", "restart", "onsitedev.service"])


@contextmanager
def disabled_meanwhile(lab: Lab, name: str) -> Iterator[None]:
    """Cut off meanwhile; without waiting until it is back."""
    told = lab.rdv.run(["rdv-admin", "device", "disable", name])
    assert "the manager does not run" in told.err
    try:
        yield
    finally:
        lab.rdv.run(["rdv-admin", "device", "enable", name])


def test_a_removed_device_goes_with_its_session_and_is_added_anew_with_its_key(lab: Lab) -> None:
    site, name = lab.plan.sites[0], account(lab, 0)
    key = device_key(lab, name)
    try:
        with session(lab.master, name, "L3"):
            lab.rdv.run(["rdv-admin", "device", "remove", name])
            assert listed(lab) == []
            assert name not in {row["id"] for row in seen(lab)["devices"]}
            assert lab.rdv.run(["id", name], check=False).code != 0
            assert lab.rdv.run(["find", "/etc/rdv", "-name", f"*{name}*"]).out == ""
            gone = lab.rdv.run(["rdv-admin", "device", "remove", name], check=False)
            refused(gone, NotFound, "there is no device")
    finally:
        words = ["--role", "onsite", "--label", lab.onsite.name, "--location", site.location, "--key", key]
        lab.rdv.run(["rdv-admin", "device", "add", name, *words])
        lab.onsite.run(["systemctl", "restart", "onsitedev.service"])
    kinds = [row["kind"] for row in audit(lab, name)]
    assert kinds.index("device-removed") < len(kinds) - 1 - kinds[::-1].index("device-added")


def device_key(lab: Lab, name: str) -> str:
    """The key that opens its account."""
    shown = json.loads(lab.rdv.run(["rdv-admin", "device", "show", name, "--json"]).out)
    return str(shown["key"])


def audit(lab: Lab, name: str) -> list[dict[str, Any]]:
    """What the audit has of it."""
    rows: list[dict[str, Any]] = json.loads(
        lab.rdv.run(["rdv-admin", "audit", "--device", name, "--json"]).out
    )
    return rows
