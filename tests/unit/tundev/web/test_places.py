"""Where the page is to be had, by what agent and watcher tell."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from tundev.contract import Key, PortKey
from tundev.web.places import Kind, Place, places

PORT: dict[str, Any] = {
    PortKey.STATE: "ready",
    PortKey.INTERFACE: "enx1",
    PortKey.ADDRESS: "192.168.38.225/29",
}
AGENT: dict[str, Any] = {Key.UPLINK: "eth0", Key.ADDRESS: "192.168.7.5/24"}
AT_PORT = Place(Kind.PORT, IPv4Address("192.168.38.225"), "enx1")
AT_UPLINK = Place(Kind.UPLINK, IPv4Address("192.168.7.5"), "eth0")


def test_it_is_on_the_port_s_address_and_not_on_the_uplink() -> None:
    assert places({}, AGENT, PORT, uplink=False) == {Kind.PORT: AT_PORT}


def test_it_is_on_the_uplink_too_where_the_configuration_wants_it() -> None:
    assert places({}, AGENT, PORT, uplink=True) == {Kind.PORT: AT_PORT, Kind.UPLINK: AT_UPLINK}


def test_a_modem_leads_to_no_lan_of_the_support_desk() -> None:
    modem: dict[str, Any] = {**AGENT}
    modem |= {Key.UPLINK: "wwan0", Key.UPLINK_TYPE: "3g"}
    assert places({Kind.UPLINK: AT_UPLINK}, modem, None, uplink=True) == {}


def test_it_leaves_a_port_that_has_no_address_any_more() -> None:
    absent: dict[str, Any] = {PortKey.STATE: "absent"}
    bridged: dict[str, Any] = {PortKey.STATE: "borrowed", PortKey.INTERFACE: "enx1"}
    for port in (absent, bridged):
        assert places({Kind.PORT: AT_PORT}, AGENT, port, uplink=False) == {}


def test_it_stays_where_it_was_while_those_that_tell_do_not_run() -> None:
    both = {Kind.PORT: AT_PORT, Kind.UPLINK: AT_UPLINK}
    assert places(both, None, None, uplink=True) == both
    assert places({}, None, None, uplink=True) == {}


def test_an_uplink_without_address_takes_the_page_away_from_it() -> None:
    assert places({Kind.UPLINK: AT_UPLINK}, {Key.STATE: "LAN_wait"}, None, uplink=True) == {}


@pytest.mark.parametrize("address", ["", "fe80::1", "192.168.38.225/33", "elsewhere"])
def test_an_address_that_is_none_is_no_place(address: str) -> None:
    assert places({}, None, {**PORT, PortKey.ADDRESS: address}, uplink=False) == {}
