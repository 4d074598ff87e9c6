"""What is plugged in, told by a real udev daemon with our rules and by the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.udev import Machine, machine
from tests.unit.tundev.port.replay import DEVICES, properties

IS_USB = 'SUBSYSTEM=="net", KERNEL=="usb*|enx*", ENV{ID_BUS}="usb", ENV{ID_NET_DRIVER}="r8152"\n'
"""Of the devices that the kernel calls so."""

NAMED = 'SUBSYSTEM=="net", ACTION=="add", KERNEL=="usb1", NAME="enx1"\n'


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Machine]:
    """A machine where a veth named `usb…` is a USB adapter, and usb1 is renamed as it comes."""
    (tmp_path / "85-test.rules").write_text(IS_USB + NAMED)
    with machine(tmp_path) as made:
        yield made


def test_an_adapter_comes_is_renamed_gets_a_cable_and_goes(desk: Machine) -> None:
    with desk.watching() as watching:
        desk.plug("usb1", "cable")
        plug = watching.until_port("enx1")["plug"]
        assert watching.said["up"] is False
        desk.run("ip", "link", "set", "enx1", "up")
        watching.until(lambda said: said["up"] is True and said["carrier"] is False)
        desk.run("ip", "link", "set", "cable", "up")
        watching.until(lambda said: said["up"] is True and said["carrier"] is True)
        desk.run("ip", "link", "set", "cable", "down")
        watching.until(lambda said: said["up"] is True and said["carrier"] is False)
        desk.run("ip", "link", "set", "enx1", "name", "usb-other")
        assert watching.until_port("usb-other")["plug"] == plug
        desk.pull("usb-other")
        watching.until_port(None)


def test_what_is_there_at_the_start_is_found_the_first_to_come_first(desk: Machine) -> None:
    for name in ("usb5", "usb1", "usb3"):
        desk.plug(name)
        desk.properties("enx1" if name == "usb1" else name)
    with desk.watching() as watching:
        watching.until_port("usb5", "enx1", "usb3")
        desk.pull("usb5")
        watching.until_port("enx1", "usb3")
        desk.plug("usb5")
        watching.until_port("enx1", "usb3", "usb5")


def test_the_end_of_twenty_plug_cycles_is_right_and_nothing_is_left(desk: Machine) -> None:
    with desk.watching() as watching:
        for _ in range(20):
            desk.plug("usb1", "cable")
            desk.pull("cable")
        desk.plug("usb1", "cable")
        watching.until_port("enx1")
        desk.pull("cable")
        watching.until_port(None)
        desk.run("udevadm", "settle")
        assert desk.run("sh", "-c", "ls /run/udev/data").strip() == ""


def test_an_adapter_that_is_moved_away_and_back_is_plugged_in_anew(desk: Machine) -> None:
    with desk.watching() as watching:
        desk.plug("usb5")
        plug = watching.until_port("usb5")["plug"]
        desk.run("ip", "netns", "add", "elsewhere")
        desk.run("ip", "link", "set", "usb5", "netns", "elsewhere")
        desk.run("ip", "-n", "elsewhere", "link", "set", "usb5", "netns", str(desk.pid))
        watching.until(lambda said: said["port"] == "usb5" and said["plug"] != plug)


def test_an_adapter_with_the_default_route_is_the_uplink(desk: Machine) -> None:
    with desk.watching() as watching:
        desk.plug("usb5", "cable")
        watching.until_port("usb5")
        for words in (
            "link set usb5 up",
            "link set cable up",
            "addr add 192.0.2.2/24 dev usb5",
            "route add default via 192.0.2.1",
        ):
            desk.run("ip", *words.split())
        why = {"usb5": "is this device's uplink", "cable": "is no USB device"}
        watching.until(lambda said: (said["port"], said["left_alone"]) == (None, why))
        desk.run("ip", "route", "delete", "default")
        desk.pull("usb5")
        desk.plug("usb5")
        watching.until_port("usb5")


def test_more_events_than_can_be_taken_in_lose_nothing(desk: Machine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stderr, desk.watching("auto", "bad", stderr=stderr) as watching:
        with watching.stopped():
            for number in range(20):
                desk.plug(f"noise{number}")
            desk.plug("usb1", "cable")
            desk.run("udevadm", "settle")
        watching.until_port("enx1")
        with watching.stopped():
            desk.pull("cable")
            for number in range(20):
                desk.pull(f"noise{number}")
            desk.plug("usb5")
            desk.run("udevadm", "settle")
        watching.until_port("usb5")
    assert log.read_text().count("udev told more than could be taken in") >= 2


def test_links_that_change_while_they_are_told_are_asked_for_again(desk: Machine) -> None:
    with desk.watching() as watching:
        for batch in range(5):
            numbers = range(30 * batch, 30 * batch + 30)
            links = [f"link add noise{number} type veth peer name cable{number}" for number in numbers]
            desk.run("sh", "-c", 'printf "%s\\n" "$@" | ip -batch -', "sh", *links)
        desk.plug("usb1", "cable")
        watching.until_port("enx1")


def test_without_udev_the_interface_that_is_named_is_found(tmp_path: Path) -> None:
    with machine(tmp_path, daemon=False) as bare:
        with bare.watching() as watching:
            watching.until_port(None)
        with bare.watching("eth1") as watching:
            bare.plug("eth0")
            bare.plug("eth1", "cable")
            plug = watching.until_port("eth1")["plug"]
            bare.pull("cable")
            watching.until_port(None)
            bare.plug("eth1")
            assert watching.until_port("eth1")["plug"] != plug


NAMES = sorted(file.stem for file in DEVICES.iterdir())


def test_networkmanager_keeps_its_hands_off_what_is_taken_and_off_nothing_else(tmp_path: Path) -> None:
    rules = []
    for number, name in enumerate(NAMES):
        told = {key: value for key, value in properties(name).items() if key.startswith(("ID_", "DEVTYPE"))}
        (tmp_path / f"{name}.env").write_text("".join(f"{key}={value}\n" for key, value in told.items()))
        rules.append(f'SUBSYSTEM=="net", KERNEL=="dev{number}", IMPORT{{file}}="{tmp_path}/{name}.env"\n')
    (tmp_path / "85-test.rules").write_text("".join(rules))
    with machine(tmp_path) as made, made.watching() as watching:
        for number in range(len(NAMES)):
            made.plug(f"dev{number}", f"cable{number}")
        unmanaged = {
            f"dev{number}"
            for number in range(len(NAMES))
            if made.properties(f"dev{number}").get("NM_UNMANAGED") == "1"
        }
        last = f"dev{len(NAMES) - 1}"
        said = watching.until(lambda said: last in str(said))
    waiting = said["waiting"]
    assert isinstance(waiting, list)
    assert unmanaged == {said["port"], *waiting}
    assert len(unmanaged) == 3 and len(NAMES) > 10
