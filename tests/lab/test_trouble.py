"""What is told when something is wrong that no device can mend: a clear message, and what to check."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.lab import strict
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.router import Router
from tests.lab.test_sessions import account, session
from tests.lab.test_tls import wait_failure
from tests.lab.test_wrong_input import refused, stopped, wait_connected
from tests.lab.topology import RDV_NAME
from vtunlib.errors import CaptivePortal, FaultFound, RdvUnreachable, SessionFailed

_HOLE = """
table inet strict {
    chain forward { type filter hook forward priority filter - 1; meta length > 1400 drop; }
}
"""
_SILENT = """
table inet silent {
    chain input { type filter hook input priority filter - 1; iifname "tundev-leg" drop; }
}
"""


@contextmanager
def behind(
    lab: Lab, machine: Machine, way: Callable[[Router], AbstractContextManager[None]]
) -> Iterator[None]:
    """The device's router lets this much pass; its agent has begun anew there. Afterwards it is online."""
    owners = {site.onsite: site.lan for site in lab.plan.sites} | {
        desk.master: desk.lan for desk in lab.plan.desks
    }
    unit = command_of(machine)
    # Stopped before: what is cut off without a word stays at the RDV for a while.
    machine.run(["systemctl", "stop", unit])
    try:
        with way(lab.routers[owners[machine.name].name]):
            machine.run(["systemctl", "start", unit])
            yield
    finally:
        machine.run(["systemctl", "restart", unit])
        wait_connected(machine)


@contextmanager
def no_server_named(machine: Machine) -> Iterator[None]:
    """As by a DHCP server without the option for it: NetworkManager knows nobody to ask."""
    with (
        machine.saying("", "/etc/resolv.conf"),
        machine.saying("", "/run/NetworkManager/no-stub-resolv.conf"),
    ):
        yield


def said(machine: Machine) -> str:
    """What `tundev-status` shows, its lines joined: where they are broken is of no meaning here."""
    return " ".join(machine.run(["tundev-status"]).out.split())


@pytest.mark.parametrize("role", ["master", "onsite"])
def test_a_captive_portal_is_told_with_its_address(lab: Lab, role: str) -> None:
    machine = lab.master if role == "master" else lab.onsite
    with behind(lab, machine, strict.captive_portal):
        assert strict.PORTAL_URL in wait_failure(machine, "CaptivePortal")
        told = said(machine)
        assert "This network wants a sign-in first:" in told
        assert "Ask the network's administrator to let this device through" in told
        assert strict.PORTAL_URL in diagnosis(machine)["RDV server"][1]
        if role == "master":
            refused(machine.run(["masterdev", "list"], check=False), CaptivePortal, strict.PORTAL_URL)


def test_an_rdv_that_is_not_reached_is_told_with_what_to_check(lab: Lab) -> None:
    with behind(lab, lab.master, strict.nothing_out):
        assert "no answer" in wait_failure(lab.master, "RdvUnreachable")
        told = said(lab.master)
        assert "The RDV server cannot be reached:" in told
        assert f"What a network must let out to {RDV_NAME}: TCP 2222 (SSH), or 443 (TLS), and DNS." in told
        listing = lab.master.run(["masterdev", "list"], check=False)
        refused(listing, RdvUnreachable, "not connected to the RDV server", "firewall")
        assert "firewall" in diagnosis(lab.master)["RDV server"][1]


def diagnosis(machine: Machine) -> dict[str, tuple[str, str]]:
    """What `diagnose` says of each step: verdict and text."""
    done = machine.run([command_of(machine), "diagnose", "--json"], deadline=90, check=False)
    found = {row["step"]: (row["verdict"], row["text"] + row["todo"]) for row in json.loads(done.out)}
    failed = [step for step, (verdict, _) in found.items() if verdict == "failed"]
    assert done.code == (FaultFound.exit_code if failed else 0), done
    assert not failed or ", ".join(failed) in done.err
    return found


def command_of(machine: Machine) -> str:
    return "masterdev" if machine.name.startswith("master") else "onsitedev"


def verdicts(found: dict[str, tuple[str, str]]) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {"ok": [], "failed": [], "open": []}
    for step, (verdict, _) in found.items():
        told[verdict].append(step)
    return told


def test_all_is_well_idle_and_in_a_session(lab: Lab) -> None:
    lab.laptop.dhcp()
    way = ["configuration", "adapter", "lease", "uplink", "DNS", "RDV server", "transport", "shell"]
    idle = diagnosis(lab.master)
    assert verdicts(idle) == {"ok": [*way, "MTU"], "failed": [], "open": ["tunnel", "far end"]}
    own = ["configuration", "uplink", "bridge", "DNS", "RDV server", "transport", "shell"]
    assert verdicts(diagnosis(lab.onsite)) == {"ok": [*own, "LAN", "MTU"], "failed": [], "open": ["tunnel"]}
    with session(lab.master, account(lab, 0), "L3"):
        up = diagnosis(lab.master)
        assert verdicts(up)["ok"] == [*way, "tunnel", "far end", "MTU"]
        assert "through the tunnel packets of 1500 bytes pass" in up["MTU"][1]
        assert verdicts(diagnosis(lab.onsite))["ok"] == [*own, "tunnel", "LAN", "MTU"]
        by_hand = lab.master.run(["masterdev", "diagnose"]).out.splitlines()
        assert [line[:4].strip() for line in by_hand] == ["ok"] * 11
    with session(lab.master, account(lab, 0), "L2"):
        bridged = diagnosis(lab.master)
        assert verdicts(bridged)["failed"] == []
        assert bridged["lease"][0] == "open" and "far end" in verdicts(bridged)["ok"]


def test_a_break_of_the_way_is_found_where_it_is(lab: Lab) -> None:
    gateway = lab.routers[lab.plan.desks[0].lan.name]
    with strict.no_dns(gateway):
        found = diagnosis(lab.master)
        assert verdicts(found)["failed"][-1] == "DNS" and "192.168.7.1" in found["DNS"][1]
        assert found["RDV server"] == ("open", "not judged: it needs the DNS, which fails")
    with no_server_named(lab.master):
        assert "this network names no DNS server" in diagnosis(lab.master)["DNS"][1]
    with stopped(lab.master, "masterdev.service"):
        assert "systemctl status masterdev" in diagnosis(lab.master)["shell"][1]


def test_a_hop_that_loses_large_packets_is_found(lab: Lab) -> None:
    """The connection stands: what has been sent so far was small."""
    with strict.rules(lab.routers[lab.plan.desks[0].lan.name], _HOLE):
        verdict, told = diagnosis(lab.master)["MTU"]
    assert verdict == "failed"
    assert "packets of 1400 bytes pass" in told and "ip link set eth0 mtu 1400" in told


def test_a_far_end_that_is_gone_is_found(lab: Lab) -> None:
    """Its tunnel stands, and nobody answers in it."""
    with session(lab.master, account(lab, 0), "L3"):
        lab.onsite.run(["nft", "-f", "-"], stdin=_SILENT)
        try:
            wait_until(
                lambda: diagnosis(lab.master)["far end"][0] == "failed",
                what="the far end is found silent",
                deadline=20,
            )
        finally:
            lab.onsite.run(["nft", "delete", "table", "inet", "silent"])


def test_a_port_without_an_adapter_or_a_cable_is_told(lab: Lab) -> None:
    lab.adapter.pull_cable()
    try:
        wait_until(lambda: "No laptop at the adapter:" in said(lab.master), what="the cable is missed")
        assert verdicts(diagnosis(lab.master))["failed"] == ["adapter"]
        lab.adapter.pull()
        wait_until(lambda: "No adapter is plugged in:" in said(lab.master), what="the adapter is missed")
        found = diagnosis(lab.master)
        assert verdicts(found)["failed"] == ["adapter"] and "Plug the USB-Ethernet" in found["adapter"][1]
        assert found["lease"] == ("open", "not judged: it needs the adapter, which fails")
    finally:
        lab.adapter.put_cable_back()
        lab.adapter.plug(lab.master)
    wait_until(lambda: lab.port(lab.master).get("state") == "ready", what="the port is ready")


def test_an_onsite_that_is_lost_in_the_middle_of_a_session_is_told(lab: Lab) -> None:
    """The customer's line goes down, without a word to anybody."""
    with lab.master.start(["masterdev", "connect", account(lab, 0)]) as command:
        command.wait_line("Ctrl-C ends the session", deadline=30)
        with strict.nothing_out(lab.routers[lab.plan.sites[0].lan.name]):
            line = command.wait_line("the session is over", deadline=60)
            assert "no answer through the legs" in line
            assert command.wait(deadline=15) == SessionFailed.exit_code
    told = said(lab.master)
    assert "The session was cut off:" in told and "no answer through the legs" in told
    assert "Is the onsite in the list? Then connect again." in told
