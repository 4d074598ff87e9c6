"""Devices with two uplinks: which one is used, when it is changed, and what a session knows of it.

The second one is called as a modem is: that is all that the lab has of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.lab import strict
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.test_sessions import session
from tests.lab.topology import CAMERA
from tundev.uplinks.standing import Standing
from vtunlib.errors import ModeNotPossible

MODEM = "wwan1"
CUT_SECONDS = 90.0
"""Until a connection counts as dead (45 s), the uplink is asked (10 s), and another has connected."""
AT_ONCE = 15.0
BACK_SECONDS = 90.0
"""Until a better uplink has answered three times, of which each may be 15 s or more after the other."""

_SECOND = f"""\
[connection]
id=second
type=ethernet
interface-name={MODEM}
autoconnect-retries=0

[ipv4]
method=auto
route-metric=200
dns-priority=200

[ipv6]
method=disabled
"""
_KEYFILE = "/etc/NetworkManager/system-connections/second.nmconnection"


def told(machine: Machine) -> dict[str, Any]:
    done = machine.run(["tundev-status", "--json"], check=False)
    status: dict[str, Any] = json.loads(done.out) if done.code == 0 else {}
    return status


def standings(machine: Machine) -> dict[str, str]:
    """What each uplink is, by its interface."""
    name = "org.rdv.TundevUplinks1"
    call = ["busctl", "--json=short", "call", name, f"/{name.replace('.', '/')}", name, "GetUplinks"]
    rows = json.loads(machine.run(call).out)["data"][0]
    return {row["link"]["data"]: row["standing"]["data"] for row in rows}


def wait_uplink(machine: Machine, link: str, deadline: float) -> None:
    """Until it is online by this one."""

    def so() -> bool:
        status = told(machine)
        return status.get("uplink") == link and status.get("state") == "SSH_connection_OK"

    wait_until(so, what=f"{machine.name} online by {link}", deadline=deadline, every=0.2)


def listed_lan(lab: Lab, account: str) -> str:
    rows = json.loads(lab.rdv.run(["rdv-admin", "device", "list", "--json"]).out)
    return next(str(row["lan"]) for row in rows if row["id"] == account)


@contextmanager
def second_uplink(lab: Lab, machine: Machine, switch: str) -> Iterator[None]:
    """A cable to another network that leads to the RDV, while NetworkManager has a connection for it."""
    there = lab.switches[switch]
    machine.copy_in(_SECOND, _KEYFILE, mode=0o600)
    machine.run(["nmcli", "connection", "reload"])
    there.plug(machine, MODEM)
    try:
        wait_until(lambda: MODEM in standings(machine), what=f"{machine.name} has {MODEM}", deadline=30)
        yield
    finally:
        machine.ip(f"link delete {MODEM}")
        machine.run(["rm", _KEYFILE])
        machine.run(["nmcli", "connection", "reload"])


@contextmanager
def cable_pulled(lab: Lab, site: int) -> Iterator[None]:
    """The onsite's, which is the first in the customer's switch."""
    switch = lab.switches[lab.plan.sites[site].lan.name]
    port = "port1"
    switch.ip(f"link set {port} down")
    try:
        yield
    finally:
        switch.ip(f"link set {port} up")


def swallowed(machine: Machine) -> str:
    """The rules of a hop that lets nothing of this machine through, and says nothing about it."""
    address = str(told(machine)["address"]).split("/")[0]
    hook = "type filter hook forward priority filter - 1;"
    return f"table inet strict {{\n chain forward {{\n {hook}\n ip saddr {address} drop\n }}\n}}\n"


def hang_up(lab: Lab) -> None:
    """On the RDV, which takes a minute to give up a connection that was left without a word."""
    accounts = (lab.plan.sites[0].account, lab.plan.desks[0].account)
    lab.rdv.run(["pkill", "--euid", ",".join(accounts), "sshd"])
    lab.wait_online(accounts)


@pytest.fixture
def two_ways(lab: Lab) -> Iterator[Lab]:
    """onsite1 and master1 have a second uplink, each into a network of others."""
    with ExitStack() as stack:
        stack.callback(hang_up, lab)
        stack.enter_context(second_uplink(lab, lab.onsite, lab.plan.desks[0].lan.name))
        stack.enter_context(second_uplink(lab, lab.master, lab.plan.sites[1].lan.name))
        yield lab


def test_the_first_uplink_that_reaches_the_rdv_is_used_and_gone_back_to(two_ways: Lab) -> None:
    """A cable is pulled at the onsite, and meanwhile the master's router lets nothing more through."""
    lab, onsite, master = two_ways, two_ways.onsite, two_ways.master
    account, desk = lab.plan.sites[0].account, lab.masters[1]
    assert standings(onsite) == {"tundev-lan": Standing.IN_USE, MODEM: Standing.SPARE}
    with strict.rules(lab.routers[lab.plan.desks[0].lan.name], swallowed(master)):
        with cable_pulled(lab, 0):
            wait_uplink(onsite, MODEM, AT_ONCE)
            lab.wait_online([account])
            assert told(onsite)["uplink_type"] == "3g"
            refused = desk.run(["masterdev", "connect", account, "-m", "L2", "--detach"], check=False)
            assert refused.code == ModeNotPossible.exit_code and "its uplink is 3g" in refused.err
        # The customer's network is where the cable leads, though the RDV is reached by the modem.
        wait_until(lambda: "192.168.1." in listed_lan(lab, account), what="the RDV knows of the cable")
        with session(desk, account, "L3"):
            since = told(desk)["since"]
            wait_until(
                lambda: standings(onsite)["tundev-lan"] == Standing.RETURNING,
                what="the cable is found good",
                deadline=BACK_SECONDS,
            )
            wait_uplink(master, MODEM, CUT_SECONDS)
            assert "does not reach the RDV server" in " ".join(told(master)["uplinks"])
            # By now it has been good for long enough.
            assert told(desk)["since"] == since and told(onsite)["uplink"] == MODEM
            restart_networkmanager(onsite)
            assert told(desk)["since"] == since and told(onsite)["uplink"] == MODEM
            lab.laptops[1].dhcp()
            assert lab.laptops[1].fetch(f"http://{CAMERA}/").out == lab.camera.page()
        wait_uplink(onsite, "tundev-lan", BACK_SECONDS)
    by_hand(lab)


def restart_networkmanager(machine: Machine) -> None:
    """It leaves the networks as they are, and so is the uplink, though it takes up one after the other."""
    unit = "tundev-uplink-watch.service"
    before, there = machine.journal(unit), standings(machine)
    machine.run(["systemctl", "restart", "NetworkManager"])
    active = ["nmcli", "--terse", "--fields", "DEVICE,STATE", "connection", "show", "--active"]
    wanted = {f"{link}:activated" for link in there}
    wait_until(lambda: wanted <= set(machine.run(active).out.splitlines()), what="its connections again")
    assert (machine.journal(unit), standings(machine)) == (before, there)


def by_hand(lab: Lab) -> None:
    """An agent with -U uses that uplink alone, and the service comes back by the best one."""
    onsite = lab.onsite
    onsite.run(["systemctl", "stop", "onsitedev"])
    try:
        with onsite.start(["onsitedev", "-U", "3g"]) as agent:
            agent.wait_line("-> SSH_connection_OK", deadline=30)
            assert told(onsite)["uplink"] == MODEM
            assert "picked by hand" in " ".join(told(onsite)["uplinks"])
    finally:
        onsite.run(["systemctl", "start", "onsitedev"])
    wait_uplink(onsite, "tundev-lan", 30)
