"""Which adapter is taken and which is left alone, by events as they were reported, recorded or made up.

Each file in data/ says how it was recorded, each in data/devices/ what it was made from.
"""

from __future__ import annotations

import itertools
import re

import pytest

from tests.unit.test_architecture import ROOT
from tests.unit.tundev.port.replay import Replay, Told, link, plugged, properties, recording, unplugged
from tundev import config
from tundev.port.adapters import (
    MODEM_DRIVERS,
    MODEM_INTERFACES,
    Adapter,
    Choice,
    Device,
    Network,
    choose,
    device,
)

USB = {"r8152": "eth1", "ax88179": "eth1", "smsc95xx-adapter": "eth1"}
"""Adapters, with the name that the kernel gives them first."""

OTHERS = {
    "pi1b-onboard": "is the onboard port",
    "pi3b-onboard": "is the onboard port",
    "pi3b-plus-onboard": "is the onboard port",
    "pi4-onboard": "is no USB device",
    "pi4-wifi": "is Wi-Fi",
    "usb-wifi": "is Wi-Fi",
    "cdc-ether-modem": "is a modem",
    "qmi-modem": "is a modem",
    "rndis-telephone": "is a modem",
    "gadget": "is this device's own side of a USB cable",
}


PLUGGED = {"usb-wifi", "cdc-ether-modem", "qmi-modem", "rndis-telephone"}
"""Those of them that a person plugged in."""


def names(choice: Choice) -> tuple[str | None, list[str]]:
    """The port's name and those that wait."""
    return (choice.port.name if choice.port else None), [adapter.name for adapter in choice.waiting]


@pytest.mark.parametrize("name", USB)
def test_a_usb_adapter_is_the_port_once_udev_has_named_it(name: str) -> None:
    one, replay = properties(name), Replay()
    choices = replay.happen(plugged(one, USB[name]))
    assert [names(choice) for choice in choices] == [(one["INTERFACE"], [])]
    assert choices[0].left_alone == ()


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_adapter_is_left_alone_and_why_is_said(name: str) -> None:
    one, replay = properties(name), Replay()
    replay.happen(plugged(one, one["INTERFACE"]))
    assert replay.choice.port is None
    (left,) = replay.choice.left_alone
    assert (left.name, left.reason) == (one["INTERFACE"], OTHERS[name])
    assert left.plugged is (name in PLUGGED)


@pytest.mark.parametrize("name", [*USB, *OTHERS])
def test_the_configuration_can_make_any_interface_the_port_and_no_other(name: str) -> None:
    one, other = properties(name), {**properties("r8152"), "IFINDEX": "90", "INTERFACE": "eth9"}
    replay = Replay(config.Master(interface=one["INTERFACE"]))
    replay.happen([*plugged(other, "eth9"), *plugged(one, one["INTERFACE"])])
    assert names(replay.choice) == (one["INTERFACE"], [])
    (left,) = replay.choice.left_alone
    assert left.reason == f"is not {one['INTERFACE']}, which the configuration names"


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("qemu-cdc_ether", ["enx525400123401", None]),
        ("qemu-rndis_host", ["enx525400123401", None, "enx525400123401", None]),
        ("qemu-cdc_subset", []),  # it was pulled before udev had told of it
    ],
)
def test_an_adapter_that_was_recorded_is_the_port_from_plug_to_unplug(
    name: str, ports: list[str | None]
) -> None:
    replay = Replay()
    choices = replay.happen(recording(name))
    assert [choice.port and choice.port.name for choice in choices] == ports
    assert all(not choice.waiting and not choice.left_alone for choice in choices)
    assert (replay.choice, replay.known) == (Choice(), 0)


def test_an_adapter_says_what_it_is_in_words_that_can_be_shown() -> None:
    replay = Replay()
    replay.happen(plugged(properties("ax88179"), "eth1"))
    assert replay.choice.port == Adapter(
        plug=(3, 10770708),
        name="enx0050b6152e37",
        mac="02:00:00:00:00:03",
        driver="ax88179_178a",
        product="ASIX Electronics Corp. AX88179 Gigabit Ethernet",
        up=False,
        carrier=False,
    )
    own_strings = {"ID_VENDOR": "Evil\x1b[2J", "ID_MODEL": "x" * 200}
    replay.happen(plugged({**USB_DEVICE, **own_strings, "IFINDEX": "9"}, "eth2"))
    (evil,) = replay.choice.waiting
    assert evil.product.isprintable() and evil.product.startswith("Evil?[2J xxx") and len(evil.product) == 80


USB_DEVICE = {
    "SUBSYSTEM": "net",
    "IFINDEX": "8",
    "INTERFACE": "eth1",
    "ID_BUS": "usb",
    "USEC_INITIALIZED": "70000000",
}


FIRST, *REST = plugged(properties("r8152"), "eth1")


@pytest.mark.parametrize("events", itertools.permutations(REST))
def test_events_in_any_order_and_twice_lead_to_the_same(events: tuple[Told, ...]) -> None:
    replay = Replay()
    replay.happen([FIRST, *events, *events[-1:]])
    assert names(replay.choice) == ("enx00e04c680001", [])


def test_a_port_that_is_renamed_stays_the_port() -> None:
    one, replay = properties("r8152"), Replay()
    replay.happen(plugged(one, "eth1"))
    before = replay.choice.port
    renamed = {**one, "INTERFACE": "adapter"}
    replay.happen(
        [Told("KERNEL", {**renamed, "ACTION": "move"}), Told("UDEV", {**renamed, "ACTION": "move"})]
    )
    after = replay.choice.port
    assert before and after and (after.name, after.plug) == ("adapter", before.plug)


def test_an_adapter_that_is_a_storage_device_first_is_the_port_once_it_is_one() -> None:
    # usb_modeswitch: the "driver CD" goes (0bda:8151), then the same plug is an adapter. Made from
    # usb_modeswitch-data's entry of it, and udev's order of events.
    disk = {"SUBSYSTEM": "block", "DEVTYPE": "disk", "ID_BUS": "usb", "USEC_INITIALIZED": "60000000"}
    stick = {"SUBSYSTEM": "usb", "DEVTYPE": "usb_device", "ID_VENDOR_ID": "0bda", "ID_MODEL_ID": "8151"}
    one, replay = properties("r8152"), Replay()
    as_disk = [Told(by, {**what, "ACTION": "add"}) for what in (stick, disk) for by in ("KERNEL", "UDEV")]
    gone = [Told(by, {**what, "ACTION": "remove"}) for what in (disk, stick) for by in ("KERNEL", "UDEV")]
    assert not replay.happen([*as_disk, *gone])
    replay.happen(plugged(one, "eth1"))
    assert names(replay.choice) == ("enx00e04c680001", [])


def test_the_second_adapter_waits_and_takes_over_when_the_first_is_pulled() -> None:
    first, second, third = properties("ax88179"), properties("r8152"), {**USB_DEVICE, "INTERFACE": "eth7"}
    replay = Replay()
    replay.happen(plugged(first, "eth1"))
    replay.happen(plugged(third, "eth7"))
    replay.happen(plugged(second, "eth1"))
    assert names(replay.choice) == ("enx0050b6152e37", ["enx00e04c680001", "eth7"])
    replay.happen(unplugged(first))
    assert names(replay.choice) == ("enx00e04c680001", ["eth7"])


def test_an_adapter_that_comes_again_waits_behind_the_one_that_took_over() -> None:
    first, second, replay = properties("ax88179"), properties("r8152"), Replay()
    replay.happen([*plugged(first, "eth1"), *plugged(second, "eth1"), *unplugged(first)])
    again = {**first, "IFINDEX": "6", "USEC_INITIALIZED": "99000000"}
    replay.happen(plugged(again, "eth1"))
    assert names(replay.choice) == ("enx00e04c680001", ["enx0050b6152e37"])


def test_twenty_plug_cycles_end_as_the_last_one_did_and_leave_nothing() -> None:
    one, replay = properties("r8152"), Replay()
    plugs: set[tuple[int, int]] = set()
    for number in range(20):
        cycle = {**one, "IFINDEX": str(10 + number), "USEC_INITIALIZED": str(61_000_000 + 500_000 * number)}
        assert replay.choice.port is None
        replay.happen(plugged(cycle, "eth1"))
        assert replay.choice.port is not None
        plugs.add(replay.choice.port.plug)
        replay.happen(unplugged(cycle))
    assert (replay.choice, replay.known) == (Choice(), 0)
    assert len(plugs) == 20


def test_a_removal_that_was_told_before_the_rename_leaves_nothing() -> None:
    one, replay = properties("r8152"), Replay()
    kernel_add, kernel_move, udev_add, udev_move = plugged(one, "eth1")
    kernel_remove, udev_remove = unplugged(one)
    replay.happen([kernel_add, kernel_move, udev_add, kernel_remove, udev_remove, udev_move])
    assert (replay.choice, replay.known) == (Choice(), 0)


def test_the_cable_and_the_switched_off_link_are_told_apart() -> None:
    one, replay = properties("r8152"), Replay()
    replay.happen(plugged(one, "eth1"))
    seen = []
    for carrier, up in [(False, True), (True, True), (False, True), (False, False)]:
        port = replay.cable(one["INTERFACE"], carrier, up=up).port
        assert port is not None
        seen.append((port.carrier, port.up))
    assert seen == [(False, True), (True, True), (False, True), (False, False)]


def test_the_uplink_is_left_alone_though_it_is_an_adapter() -> None:
    uplink, replay = properties("ax88179"), Replay()
    replay.uplink("enx0050b6152e37")
    replay.happen([*plugged(uplink, "eth1"), *plugged(properties("r8152"), "eth1")])
    assert names(replay.choice) == ("enx00e04c680001", [])
    assert [left.reason for left in replay.choice.left_alone] == ["is this device's uplink"]


def test_the_uplink_that_the_configuration_names_is_left_alone_before_it_has_a_route() -> None:
    replay = Replay(config.Master(uplink="enx0050b6152e37"))
    replay.happen(plugged(properties("ax88179"), "eth1"))
    assert replay.choice.port is None


def test_an_adapter_that_becomes_the_uplink_is_the_port_no_longer_until_it_is_plugged_in_anew() -> None:
    one, replay = properties("ax88179"), Replay()
    replay.happen(plugged(one, "eth1"))
    assert replay.uplink("enx0050b6152e37").port is None
    # It may have lost its route for a moment only.
    assert replay.uplink(None).port is None
    replay.happen([*unplugged(one), *plugged({**one, "USEC_INITIALIZED": "99000000"}, "eth1")])
    assert names(replay.choice) == ("enx0050b6152e37", [])


ADAPTER = Device(index=2, arrived=1, bus="usb", driver="r8152")


def test_what_the_uplink_consists_of_is_left_alone() -> None:
    adapter, bridge = link(2, "eth1", bridge=3), link(3, "br0", kind="bridge")
    vlan = link(4, "br0.5", kind="vlan", lower=3)
    choice = choose([ADAPTER], Network([adapter, bridge, vlan], frozenset({4})), config.Master())
    assert choice.port is None and choice.left_alone[0].reason == "is this device's uplink"


def test_a_port_of_another_bridge_is_left_alone_and_one_of_our_own_is_the_port_still() -> None:
    others = [link(2, "eth1", bridge=3), link(3, "br0", kind="bridge")]
    choice = choose([ADAPTER], Network(others), config.Master())
    assert choice.port is None and choice.left_alone[0].reason == "is a port of br0"
    ours = [link(2, "eth1", bridge=3), link(3, "tundev-l2", kind="bridge")]
    assert names(choose([ADAPTER], Network(ours), config.Master())) == ("eth1", [])


def test_the_udev_rule_knows_the_same_modems() -> None:
    (rule,) = (ROOT / "rootfs-overlay/master/usr/lib/udev/rules.d").iterdir()
    lists = re.findall(r'ENV\{ID_(?:NET|USB)_DRIVER\}=="([^"]+)"', rule.read_text())
    assert [set(names.split("|")) for names in lists] == [MODEM_DRIVERS, MODEM_DRIVERS]
    (interfaces,) = re.findall(r'ENV\{ID_USB_INTERFACES\}=="([^"]+)"', rule.read_text())
    assert {one.strip("*") for one in interfaces.split("|")} == MODEM_INTERFACES


@pytest.mark.parametrize("index", ["", "x", "-1", "٣"])
def test_an_event_without_a_number_is_passed_over(index: str) -> None:
    assert device({**USB_DEVICE, "IFINDEX": index}) is None
