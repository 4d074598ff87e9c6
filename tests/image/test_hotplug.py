"""Real hotplug: the master's image in QEMU, and USB adapters that come and go there.

One machine for all tests, as it is on a desk.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from tests.image.conftest import Devices
from tests.image.desk import ADAPTERS, SWITCH_CONFIGURATION, Desk
from tests.lab.laptop import INTERFACE
from tests.lab.snapshot import Snapshot, snapshot, wait_as_before

OWN = IPv4Address("192.168.38.225")
WITHIN = 3.0
"""Seconds of the guest from the plug to the laptop's lease (issue 4)."""


@pytest.fixture(scope="module")
def before(devices: Devices) -> Snapshot:
    """The master as it is without an adapter."""
    devices.desk.becomes("absent")
    return snapshot(devices.desk.master)


@pytest.fixture
def desk(devices: Devices, before: Snapshot) -> Iterator[Desk]:
    """Nothing plugged in, and afterwards nothing left of what was."""
    made = devices.desk
    yield made
    made.unplug_all()
    made.becomes("absent")
    # That it is absent is told when it is known, and what was set for it is taken away then.
    wait_as_before({"master": before}, lambda: {"master": snapshot(made.master)}, deadline=made.PATIENCE)


def networkmanager(desk: Desk) -> dict[str, str]:
    """The states of the interfaces that it knows, by their names."""
    listed = desk.master.run(["nmcli", "--terse", "--fields", "DEVICE,STATE", "device"]).out
    return dict(line.split(":", 1) for line in listed.splitlines())


def test_from_the_plug_to_the_laptop_s_lease_it_takes_less_than_three_seconds(desk: Desk) -> None:
    """Whichever adapter and however often; the laptop's first question is the one that is answered."""
    took = []
    for adapter in [one for one in ADAPTERS if one.cable == INTERFACE] * 2:
        lease, seconds = desk.plug_for_lease(adapter)
        took.append(seconds)
        assert lease.server == OWN and lease.routers == lease.dns == (OWN,)
        port = desk.becomes("ready")
        assert (port["interface"], port["driver"]) == (adapter.interface, "cdc_ether")
        assert desk.laptop.ping(str(OWN)).code == 0
        desk.unplug(adapter)
        desk.becomes("absent")
    print("seconds of the guest from plug to lease:", ", ".join(f"{seconds:.2f}" for seconds in took))
    assert max(took) < WITHIN


def test_networkmanager_has_the_uplink_and_keeps_its_hands_off_the_adapter(desk: Desk) -> None:
    uplink = networkmanager(desk)
    assert "connected" in uplink.values()
    desk.plug(ADAPTERS[0])
    desk.becomes("ready")
    assert networkmanager(desk) == uplink | {ADAPTERS[0].interface: "unmanaged"}


def test_a_second_adapter_waits_and_takes_over(desk: Desk) -> None:
    first, second = ADAPTERS[:2]
    desk.plug(first)
    desk.becomes("ready")
    desk.plug(second)
    desk.waits_for(lambda port: "waiting" in port, what="the second one is seen")
    port = desk.becomes("ready")
    assert port["interface"] == first.interface
    assert [text.split()[0] for text in port["waiting"]] == [second.interface]
    desk.unplug(first)
    desk.waits_for(lambda port: port.get("interface") == second.interface, what="the second one is taken")
    desk.becomes("ready")
    desk.move_cable()
    assert desk.laptop.dhcp(deadline=desk.PATIENCE).server == OWN


def test_an_adapter_that_becomes_another_while_it_is_plugged_in_is_followed(desk: Desk) -> None:
    """As usb_modeswitch does it: the device stays, its interface goes and one with another driver comes."""
    desk.plug(ADAPTERS[0])
    desk.becomes("ready")
    desk.master.run(["sh", "-c", SWITCH_CONFIGURATION])
    desk.waits_for(lambda port: port.get("driver") == "rndis_host", what="its RNDIS side is taken")
    desk.becomes("ready")
    assert desk.laptop.dhcp(deadline=desk.PATIENCE).server == OWN
