"""What can be said of network items without a kernel."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface, IPv4Network

import pytest

from vtunlib.errors import RdvError
from vtunlib.network import Address, Bridge, Item, LinkUp, NftTable, Port, Route, Rule, Sysctl, Tun
from vtunlib.tunnel import TunnelMode

DEFAULT = IPv4Network("0.0.0.0/0")


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x" * 16, "tun%d", "..", ".", "-a", "a\n", "a;b", '"'])
def test_a_name_that_is_none_is_refused_everywhere(name: str) -> None:
    makes: list[Callable[[], Item]] = [
        lambda: Tun(name, TunnelMode.L3),
        lambda: Bridge(name),
        lambda: Port(name, "join"),
        lambda: Port("onsite", name),
        lambda: LinkUp(name),
        lambda: Address(name, IPv4Interface("10.0.0.1/30")),
        lambda: Route(DEFAULT, link=name),
        lambda: Rule(100, iif=name),
    ]
    for make in makes:
        with pytest.raises(RdvError):
            make()


@pytest.mark.parametrize("name", ["/etc/passwd", "net/../../etc", ""])
def test_a_parameter_outside_of_proc_sys_is_refused(name: str) -> None:
    with pytest.raises(RdvError):
        Sysctl(name, "1")


@pytest.mark.parametrize("name", ["", "a b", "a{", "a;"])
def test_a_table_name_that_could_be_read_as_more_is_refused(name: str) -> None:
    with pytest.raises(RdvError):
        NftTable("inet", name, "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Tun("onsite", TunnelMode.L3), Tun("onsite", TunnelMode.L2, 1400)),
        (Bridge("join"), Bridge("join", "02:00:00:00:00:01")),
        (Bridge("join"), Tun("join", TunnelMode.L2)),
        (Port("onsite", "join"), Port("onsite", "other")),
        (Route(DEFAULT, link="a"), Route(DEFAULT, link="b")),
        (Route(DEFAULT, link="a"), Route(DEFAULT, type="unreachable")),
        (NftTable("inet", "rdv", ""), NftTable("inet", "rdv", "chain a {}")),
        (Sysctl("net.ipv4.ip_forward", "1"), Sysctl("net/ipv4/ip_forward", "0")),
    ],
)
def test_two_versions_of_one_thing_have_one_key(one: Item, other: Item) -> None:
    assert one.key == other.key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Route(DEFAULT, link="a"), Route(DEFAULT, link="a", table=7001)),
        (Route(DEFAULT, link="a"), Route(DEFAULT, link="a", metric=5)),
        (Rule(100, table=7001), Rule(101, table=7001)),
        (Address("a", IPv4Interface("10.0.0.1/30")), Address("a", IPv4Interface("10.0.0.1/29"))),
        (NftTable("inet", "rdv", ""), NftTable("bridge", "rdv", "")),
        (Port("onsite", "join"), LinkUp("onsite")),
    ],
)
def test_two_things_have_two_keys(one: Item, other: Item) -> None:
    assert one.key != other.key
