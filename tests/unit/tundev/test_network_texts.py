"""What a device sets on its network, as text and items: no forwarding but what a session needs."""

from __future__ import annotations

import ipaddress

import pytest

from tests.unit.tundev.parameters import PARAMETERS
from tundev import firewall, technician_port
from tundev.lan import Uplink
from tundev.onsitedev import Session, session_items
from tundev.port import dnsmasq, laptop
from tundev.port.subnets import Subnet
from vtunlib.errors import ModeNotPossible
from vtunlib.network import Address, Bridge, Port, Route
from vtunlib.tunnel import TunnelMode

SUBNET = Subnet(ipaddress.IPv4Network("192.168.38.224/29"))
BRIDGED = Uplink("tundev-lan", ipaddress.IPv4Interface("192.168.1.2/24"))
WIFI = Uplink("wlan0", ipaddress.IPv4Interface("192.168.1.2/24"))


@pytest.mark.parametrize(
    "table",
    [
        firewall.idle(),
        firewall.onsite_routed(("wlan0", "tundev-lan"), PARAMETERS.network),
        firewall.master_routed("eth1"),
    ],
)
def test_the_forward_policy_is_always_drop(table: object) -> None:
    assert "hook forward priority filter; policy drop;" in str(table)


def test_without_a_session_no_rule_lets_the_port_into_the_tunnel() -> None:
    assert 'oifname "tundev-leg"' not in firewall.idle().text


def test_the_port_always_ends_in_unreachable() -> None:
    for items in (laptop.closed("eth1"), laptop.addressed("eth1", SUBNET.address)):
        ends = [item for item in items if isinstance(item, Route) and item.type == "unreachable"]
        assert [(item.table, str(item.destination)) for item in ends] == [(7001, "0.0.0.0/0")]


def test_in_l2_the_master_has_no_address_towards_the_customer() -> None:
    items = [*technician_port.joined("eth1", PARAMETERS, TunnelMode.L2), *laptop.closed("eth1")]
    assert not [item for item in items if isinstance(item, Address)]
    assert [item for item in items if isinstance(item, Port)] == [
        Port("tundev-leg", "tundev-l2"),
        Port("eth1", "tundev-l2"),
    ]


def test_dhcp_offers_the_rest_of_the_subnet() -> None:
    text = dnsmasq.config("eth1", SUBNET)
    assert "dhcp-range=192.168.38.226,192.168.38.230,255.255.255.248,2m\n" in text
    assert "dhcp-option=option:router,192.168.38.225\n" in text


def test_on_an_uplink_that_is_no_bridge_l2_is_refused() -> None:
    with pytest.raises(ModeNotPossible, match="wlan0 is no bridge"):
        session_items(Session(PARAMETERS, TunnelMode.L2), WIFI)


def test_on_the_bridge_l2_only_adds_a_port() -> None:
    items = session_items(Session(PARAMETERS, TunnelMode.L2), BRIDGED)
    assert Port("tundev-leg", "tundev-lan") in items
    assert not [item for item in items if isinstance(item, Bridge | Address)]


def test_by_another_uplink_l3_reaches_the_network_of_the_bridge_too() -> None:
    items = session_items(Session(PARAMETERS, TunnelMode.L3), WIFI, BRIDGED)
    assert 'oifname { "wlan0", "tundev-lan" } masquerade' in str(items[0])
    assert firewall.onsite_routed(("wlan0",), PARAMETERS.network) in session_items(
        Session(PARAMETERS, TunnelMode.L3), WIFI, WIFI
    )
