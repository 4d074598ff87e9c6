"""`kill -9` of each part during a session: afterwards everything is as it should be.

That nothing is left over is for the fixture `lab`, which compares all machines
before and after each test.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.test_sessions import account, listed, session
from tests.lab.topology import CAMERA

OVER = 15.0
"""Seconds until nobody has the session any more."""
BACK = 30.0
"""Seconds until what was killed, or who lost its connection, is there again."""

MODES = pytest.mark.parametrize("mode", ["L3", "L2"])
ROLES = pytest.mark.parametrize("role", ["onsite", "master"])


def device(lab: Lab, role: str) -> Machine:
    """The session's device of that role."""
    return lab.onsite if role == "onsite" else lab.master


def own_account(lab: Lab, role: str) -> str:
    """That device's account."""
    return account(lab, 0) if role == "onsite" else lab.plan.desks[0].account


def main_pid(machine: Machine, unit: str) -> int:
    """Of the one service that runs by that name or shell pattern."""
    told = machine.run(["systemctl", "show", "--property=MainPID", "--value", unit]).out.split()
    pids = [int(word) for word in told if word != "0"]
    assert len(pids) == 1, f"{machine.name}: {unit} has main processes {pids}"
    return pids[0]


def kill(machine: Machine, pid: int) -> None:
    machine.run(["kill", "-9", str(pid)])


def sshd(lab: Lab, who: str) -> set[int]:
    """The RDV's sshd processes that run as this device's account: one each connection."""
    told = lab.rdv.run(["pgrep", "--exact", "--uid", who, "sshd"], check=False).out
    return {int(word) for word in told.split()}


def connections(lab: Lab) -> dict[str, set[int]]:
    """By account of each device in the lab."""
    accounts = [site.account for site in lab.plan.sites] + [desk.account for desk in lab.plan.desks]
    return {who: sshd(lab, who) for who in accounts}


def forwarding(lab: Lab) -> dict[str, str]:
    """Every interface's own switch on both devices, which the snapshots leave out."""
    argv = ["sysctl", "--all", "--pattern", r"^net\.ipv4\.conf\..*\.forwarding$"]
    return {machine.name: machine.run(argv).out for machine in (lab.onsite, lab.master)}


def in_session(machine: Machine) -> bool | None:
    """What the device itself says; None where its agent does not answer."""
    told = machine.run(["tundev-status", "--json"], check=False)
    return bool(json.loads(told.out).get("session")) if told.code == 0 else None


def carries(lab: Lab, mode: str) -> None:
    """The session is up at both ends, and the laptop reaches the customer."""
    assert [row["state"] for row in listed(lab)] == ["up"]
    lab.laptop.dhcp()
    assert lab.laptop.ping(str(CAMERA)).code == 0, mode
    assert in_session(lab.master) and in_session(lab.onsite)


def is_over(lab: Lab) -> None:
    """The session ends at the RDV and on both devices."""
    wait_until(
        lambda: not listed(lab) and in_session(lab.master) is False and in_session(lab.onsite) is False,
        what="the session is over on the RDV and on both devices",
        deadline=OVER,
        every=0.2,
    )


def works_again(lab: Lab, mode: str, former: dict[str, set[int]], redialled: Iterable[str] = ()) -> None:
    """These accounts have a new connection, the others still theirs, and a new session carries."""
    new = set(redialled)
    for who in new:
        wait_until(
            lambda who=who: not sshd(lab, who) & former[who] and who in lab.online(),  # type: ignore[misc]
            what=f"{who} has dialled again",
            deadline=BACK,
            every=0.2,
        )
    lab.wait_online(deadline=BACK)
    now = connections(lab)
    assert {who: now[who] for who in now if who not in new} == {
        who: former[who] for who in former if who not in new
    }
    with session(lab.master, account(lab, 0), mode):
        carries(lab, mode)


@MODES
@ROLES
def test_vtund_of_a_device(lab: Lab, role: str, mode: str) -> None:
    former = connections(lab)
    with session(lab.master, account(lab, 0), mode):
        carries(lab, mode)
        kill(device(lab, role), main_pid(device(lab, role), "tundev-vtund.service"))
        is_over(lab)
    works_again(lab, mode, former)


@MODES
@ROLES
def test_vtund_of_the_rdv(lab: Lab, role: str, mode: str) -> None:
    former = connections(lab)
    with session(lab.master, account(lab, 0), mode):
        carries(lab, mode)
        kill(lab.rdv, main_pid(lab.rdv, f"rdv-leg-{listed(lab)[0]['id']}-{role}.service"))
        is_over(lab)
    works_again(lab, mode, former)


@ROLES
def test_ssh_of_a_leg(lab: Lab, role: str) -> None:
    """The channel in the device's connection, not the connection."""
    former = connections(lab)
    with session(lab.master, account(lab, 0), "L3"):
        carries(lab, "L3")
        kill(device(lab, role), main_pid(device(lab, role), "tundev-leg@*.service"))
        is_over(lab)
    works_again(lab, "L3", former)


@MODES
def test_the_manager(lab: Lab, mode: str) -> None:
    """The session is kept, not a packet is lost, and the new manager can end it."""
    former, unit = connections(lab), "vtun-manager.service"
    with session(lab.master, account(lab, 0), mode):
        carries(lab, mode)
        row, pid = listed(lab)[0], main_pid(lab.rdv, unit)
        with lab.laptop.losing_nothing(str(CAMERA)):
            kill(lab.rdv, pid)
            show = ["systemctl", "show", "--property=ActiveState,MainPID", "--value", unit]

            def back() -> bool:
                words = set(lab.rdv.run(show).out.split())
                return "active" in words and str(pid) not in words

            wait_until(back, what="another manager", deadline=BACK)
            lab.wait_online(deadline=BACK)
            kept = listed(lab)
            assert [(one["id"], one["state"]) for one in kept] == [(row["id"], "up")]
            assert lab.laptop.ping(str(CAMERA)).code == 0
        assert in_session(lab.master) and in_session(lab.onsite)
        assert lab.master.run(["masterdev", "disconnect"]).code == 0
        is_over(lab)
    works_again(lab, mode, former)


def test_the_shell_service(lab: Lab) -> None:
    """All devices lose their connections, and dial again."""
    former = connections(lab)
    with session(lab.master, account(lab, 0), "L3"):
        carries(lab, "L3")
        kill(lab.rdv, main_pid(lab.rdv, "tundev-shell.service"))
        is_over(lab)
    works_again(lab, "L3", former, redialled=former)


@ROLES
def test_sshd_of_a_connection(lab: Lab, role: str) -> None:
    former, who = connections(lab), own_account(lab, role)
    with session(lab.master, account(lab, 0), "L3"):
        carries(lab, "L3")
        (pid,) = former[who]
        kill(lab.rdv, pid)
        is_over(lab)
    works_again(lab, "L3", former, redialled=[who])


@MODES
@ROLES
def test_an_agent(lab: Lab, role: str, mode: str) -> None:
    """Whichever dies, the laptop reaches neither the customer nor the support desk without a session."""
    former, desk, switches = connections(lab), lab.plan.desks[0], forwarding(lab)
    with session(lab.master, account(lab, 0), mode):
        carries(lab, mode)
        kill(device(lab, role), main_pid(device(lab, role), f"{role}dev.service"))
        assert lab.laptop.ping(str(desk.bystander_address), wait=1).code != 0
        is_over(lab)
        for target in (CAMERA, desk.bystander_address):
            assert lab.laptop.ping(str(target), wait=1).code != 0, target
    works_again(lab, mode, former, redialled=[own_account(lab, role)])
    # Until here a killed agent's is still on: the end of the next L3 session takes it back (tundev.leg).
    wait_until(
        lambda: forwarding(lab) == switches, what="each interface's forwarding as before", deadline=OVER
    )
