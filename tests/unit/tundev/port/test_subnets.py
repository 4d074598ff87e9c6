"""Where the laptop's network goes when the configured one means something else already."""

from __future__ import annotations

import ipaddress

import pytest

from tundev.port import subnets
from tundev.port.subnets import OTHERS, Subnet, Taken, choose
from vtunlib.errors import SessionFailed

CONFIGURED = ipaddress.IPv4Network("192.168.38.224/29")


def taken(*networks: str) -> list[Taken]:
    return [Taken(ipaddress.IPv4Network(network), "the network of eth0") for network in networks]


def test_without_a_clash_it_is_the_configured_one() -> None:
    assert choose(CONFIGURED, taken("192.168.1.0/24", "10.0.0.0/8")) == Subnet(CONFIGURED)


@pytest.mark.parametrize("other", ["192.168.0.0/16", "192.168.38.0/24", "192.168.38.226/32"])
def test_a_clash_moves_it_and_says_what_with(other: str) -> None:
    moved = choose(CONFIGURED, taken("10.0.0.0/24", other))
    assert not moved.network.overlaps(ipaddress.IPv4Network(other))
    assert moved.moved == f"192.168.38.224/29 clashes with the network of eth0, {other}"


def test_the_same_clash_gives_the_same_choice_whatever_the_order() -> None:
    networks = ["192.168.38.0/24", "172.16.0.0/12", "10.1.0.0/16"]
    assert choose(CONFIGURED, taken(*networks)) == choose(CONFIGURED, taken(*networks))
    assert (
        choose(CONFIGURED, taken(*networks)).network == choose(CONFIGURED, taken(*reversed(networks))).network
    )


def test_it_stays_where_it_is_while_that_clashes_with_nothing() -> None:
    current = Subnet(OTHERS[2], "it did")
    assert choose(CONFIGURED, taken("172.16.0.0/12"), current) == current
    assert choose(CONFIGURED, taken(str(OTHERS[2])), current) == Subnet(CONFIGURED)


def test_at_the_customer_s_the_lan_and_each_dns_server_count() -> None:
    lan, server = ipaddress.IPv4Network("192.168.1.0/24"), ipaddress.IPv4Address("192.168.38.227")
    assert choose(CONFIGURED, subnets.of_customer(lan, [])) == Subnet(CONFIGURED)
    moved = choose(CONFIGURED, subnets.of_customer(lan, [server]))
    assert "the customer's DNS server, 192.168.38.227/32" in moved.moved


def test_where_all_private_ranges_are_taken_it_says_so() -> None:
    with pytest.raises(SessionFailed, match="no subnet is left"):
        choose(CONFIGURED, taken("192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8"))
    outside = ipaddress.IPv4Network("198.18.0.0/29")
    assert choose(outside, taken("192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8")) == Subnet(outside)


def test_no_two_of_the_others_clash_and_all_are_private() -> None:
    assert all(network.is_private and network.prefixlen == 29 for network in OTHERS)
    assert not [(a, b) for a in OTHERS for b in OTHERS if a is not b and a.overlaps(b)]
