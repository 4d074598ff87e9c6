"""What is told of the port, and when."""

from __future__ import annotations

import ipaddress
from typing import Any

from tests.unit.tundev.port.test_life import ADAPTER
from tundev.contract import INTERFACE_ADDED, INTERFACE_REMOVED, PORT_CHANGED, PortKey, PortState
from tundev.port import told
from tundev.port.adapters import Choice
from tundev.port.subnets import Subnet
from tundev.port.told import Announcements, Laptop

SUBNET = Subnet(ipaddress.IPv4Network("172.29.38.224/29"), "it clashes")
LAPTOP = Laptop("172.29.38.226", "02:00:00:00:00:02", "annas-laptop")


def values(state: PortState, choice: Choice | None = None, reason: str = "") -> dict[str, Any]:
    chosen = Choice(ADAPTER) if choice is None else choice
    servers = ("192.168.1.1@tundev-leg",)
    return told.values(state, chosen, SUBNET, servers, LAPTOP, reason=reason, moving="")


def test_a_port_that_is_ready_tells_all_and_without_an_adapter_nothing_is_there_to_tell() -> None:
    assert values(PortState.READY) == {
        PortKey.STATE: "ready",
        PortKey.INTERFACE: "eth1",
        PortKey.DRIVER: "r8152",
        PortKey.PRODUCT: "Some adapter",
        PortKey.MAC: "02:00:00:00:00:01",
        PortKey.ADDRESS: "172.29.38.225/29",
        PortKey.MOVED: "it clashes",
        PortKey.DNS: ["192.168.1.1"],
        PortKey.LEASE: "172.29.38.226",
        PortKey.LAPTOP: "annas-laptop",
    }
    assert values(PortState.ABSENT, Choice()) == {PortKey.STATE: "absent"}


def test_an_address_is_told_only_while_it_is_there() -> None:
    assert PortKey.ADDRESS not in values(PortState.CHECKING)


def test_each_change_is_told_once_and_what_a_session_may_have_comes_and_goes() -> None:
    signals: list[tuple[str, tuple[Any, ...]]] = []
    port = Announcements(lambda member, _signature, *body: signals.append((member, body)))
    for state in (PortState.CHECKING, PortState.READY, PortState.READY, PortState.BORROWED):
        port.make(values(state), "")
    assert [member for member, _ in signals] == [*[PORT_CHANGED] * 2, INTERFACE_ADDED, PORT_CHANGED]
    port.make(values(PortState.ABSENT, Choice()), "the adapter was unplugged")
    assert signals[-1] == (INTERFACE_REMOVED, ("eth1", "the adapter was unplugged"))
    port.make(values(PortState.ABSENT, Choice()), "the adapter was unplugged")
    assert [member for member, _ in signals[4:]] == [PORT_CHANGED, INTERFACE_REMOVED]
