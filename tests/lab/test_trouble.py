"""What is told when something is wrong that no device can mend: a clear message, and what to check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.lab import strict
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.router import Router
from tests.lab.test_tls import wait_failure
from tests.lab.test_wrong_input import refused, wait_connected
from tests.lab.topology import RDV_NAME
from vtunlib.errors import CaptivePortal, RdvUnreachable


@contextmanager
def behind(
    lab: Lab, machine: Machine, way: Callable[[Router], AbstractContextManager[None]]
) -> Iterator[None]:
    """The device's router lets this much pass; its agent has begun anew there. Afterwards it is online."""
    owners = {site.onsite: site.lan for site in lab.plan.sites} | {
        desk.master: desk.lan for desk in lab.plan.desks
    }
    unit = "masterdev" if machine in lab.masters else "onsitedev"
    try:
        with way(lab.routers[owners[machine.name].name]):
            machine.run(["systemctl", "restart", unit])
            yield
    finally:
        machine.run(["systemctl", "restart", unit])
        wait_connected(machine)


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
