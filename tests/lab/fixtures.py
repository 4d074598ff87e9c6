"""The lab that the tests share: two customers with the same subnet, and two desks, one on that subnet too."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.lab.appliance import ACCOUNT, CUSTOMER, Appliance
from tests.lab.clean import remove_host
from tests.lab.lab import UPLINK, Lab
from tests.lab.roles import DIST, Role
from tests.lab.snapshot import Snapshot, wait_as_before
from tests.lab.topology import RDV_NAME, topology

_LAB: list[Lab] = []  # what a failing test's report takes the journals from
_AS_IT_WAS: dict[str, Snapshot] = {}  # while nobody uses it; empty once a test has left something


@pytest.fixture(scope="session")
def whole_lab() -> Iterator[Lab]:
    """Everything online. master1 is on 192.168.7.0/24, master2 on the customers' subnet."""
    name = os.environ.get("LAB_NAME", "test")
    with Lab(topology(sites=2, desks=2, clashing=[2]), name=name) as lab:
        _LAB.append(lab)
        try:
            lab.up()
            yield lab
        finally:
            _LAB.clear()
            _AS_IT_WAS.clear()


@pytest.fixture
def lab(whole_lab: Lab) -> Iterator[Lab]:
    """The lab with all devices online and no session; afterwards the same, and nothing left over."""
    whole_lab.wait_ports()
    if not _AS_IT_WAS:
        whole_lab.wait_online()
        _AS_IT_WAS.update(whole_lab.snapshots())
    before = dict(_AS_IT_WAS)
    _AS_IT_WAS.clear()
    yield whole_lab
    for laptop in whole_lab.laptops:
        laptop.forget()
    whole_lab.end_sessions()
    whole_lab.wait_online()
    wait_as_before(before, whole_lab.snapshots)
    _AS_IT_WAS.update(before)


@pytest.fixture(scope="session")
def whole_appliance(whole_lab: Lab) -> Iterator[Appliance]:
    """A device made an appliance, at the first customer's, switched off, with nothing on its card."""
    machine = Appliance(whole_lab.place, "appliance", whole_lab.layers_of(Role.ONSITE))
    machine.create()
    machine.port = whole_lab.switches[CUSTOMER].plug(machine, UPLINK)
    whole_lab.spares.append(machine)
    machine.install(DIST)
    yield machine
    machine.stop()
    whole_lab.spares.remove(machine)
    remove_host(machine)


@pytest.fixture
def appliance(lab: Lab, whole_appliance: Appliance) -> Iterator[Appliance]:
    """The same, and the RDV knows of it and has issued its bundle."""
    machine, file = whole_appliance, f"/root/{ACCOUNT}.toml"
    machine.flash()
    add = ["rdv-admin", "device", "add", ACCOUNT, "--role", "onsite", "--server", RDV_NAME]
    lab.rdv.run([*add, "--bundle", file])
    machine.issued = lab.rdv.run(["cat", file]).out
    yield machine
    try:
        machine.stop()
    finally:
        lab.switches[CUSTOMER].ip(f"link set {machine.port} up")
        lab.rdv.run(["rdv-admin", "device", "remove", ACCOUNT])
        lab.rdv.run(["rm", "-f", file])


@pytest.hookimpl(hookwrapper=True)  # type: ignore[misc]  # pytest's own decorator has no types in bookworm
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """A failing test's report ends with the machines' journals."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and _LAB and {"lab", "whole_lab"} & set(getattr(item, "fixturenames", ())):
        report.sections.append(("journals of the lab's machines", _LAB[0].journals()))
