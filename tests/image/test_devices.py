"""A field engineer's whole work: the image, the bundle on it, power. The device is online, and stays so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.card import faults, text_on
from tests.image.conftest import Devices
from tests.image.desk import ADAPTERS, Desk
from tests.image.device import Device
from tests.image.trunk import in_vlan
from tests.lab.lab import Lab
from tests.lab.topology import CAMERA, CUSTOMER_LAN, DOWNLOAD
from tundev.firstboot.boot_partition import BUNDLE
from tundev.paths import LAN_BRIDGE, VLAN

CUTS = 3


def test_each_has_enrolled_with_a_key_of_its_own(devices: Devices, whole_lab: Lab) -> None:
    for device in (devices.onsite, devices.desk.device):
        show = ["rdv-admin", "device", "show", device.account, "--json"]
        shown = json.loads(whole_lab.rdv.run(show).out)
        assert (shown["online"], shown["enrolment"], shown["one_time_until"]) == (True, "enrolled", None)
        key = device.guest.run(["cat", "/etc/tundev/id_ed25519.pub"]).out
        assert shown["key"] == " ".join(key.split()[:2])


@pytest.fixture(scope="module")
def plugged(devices: Devices) -> Iterator[Desk]:
    """The desk, with an adapter in the master and the laptop's cable in that."""
    desk = devices.desk
    desk.plug(ADAPTERS[0])
    yield desk
    desk.unplug_all()
    desk.becomes("absent")


@pytest.mark.parametrize("mode", ["L3", "L2"])
def test_the_laptop_behind_the_master_reaches_a_camera_on_the_onsite_s_lan(
    devices: Devices, plugged: Desk, whole_lab: Lab, mode: str
) -> None:
    laptop, camera = plugged.laptop, whole_lab.camera
    plugged.becomes("ready")
    with plugged.session(devices.onsite.account, mode):
        lease = laptop.dhcp(deadline=plugged.PATIENCE)
        assert (lease.address.network == CUSTOMER_LAN) == (mode == "L2")
        assert laptop.fetch(f"http://{CAMERA}/", deadline=plugged.PATIENCE).out == camera.page()


def test_a_bridged_session_is_in_the_vlan_that_the_onsite_is_in(
    devices: Devices, plugged: Desk, whole_lab: Lab
) -> None:
    laptop, guest = plugged.laptop, devices.onsite.guest
    plugged.becomes("ready")
    with in_vlan(whole_lab, devices.onsite, 5):
        links = {link["ifname"]: link for link in json.loads(guest.run(["ip", "-json", "link"]).out)}
        assert links[VLAN]["master"] == LAN_BRIDGE
        with plugged.session(devices.onsite.account, "L2"):
            lease = laptop.dhcp(deadline=plugged.PATIENCE)
            assert lease.server == whole_lab.plan.sites[0].lan.router.ip
            assert laptop.ping(str(CAMERA), size=1472, wait=60).code == 0
            assert laptop.fetch(f"http://{CAMERA}/", deadline=plugged.PATIENCE).out == whole_lab.camera.page()
    assert VLAN not in guest.run(["ls", "/sys/class/net"]).out


def test_an_onsite_survives_power_cuts_and_its_card_keeps_no_secret(
    devices: Devices, plugged: Desk, tmp_path: Path
) -> None:
    """The first one in the middle of a download, the next ones a moment after its boot."""
    onsite = devices.onsite
    plugged.becomes("ready")
    with plugged.session(onsite.account, "L3"):
        plugged.laptop.dhcp(deadline=plugged.PATIENCE)
        download = ["curl", "--verbose", "--output", "/dev/null", f"http://{CAMERA}/{DOWNLOAD}"]
        with plugged.laptop.start(download) as downloading:
            downloading.wait_line("200 OK", deadline=plugged.PATIENCE)
            _cut_and_back(onsite, tmp_path)
    for _ in range(CUTS - 1):
        _cut_and_back(onsite, tmp_path)
    left = text_on(onsite.disk.image, BUNDLE)
    assert onsite.account in left
    assert "PRIVATE KEY" not in left


def _cut_and_back(device: Device, folder: Path) -> None:
    device.guest.stop()
    assert faults(device.disk.image, folder / "part") == []
    assert device.boot() == []
