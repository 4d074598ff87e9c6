"""The master's technician's port in a real kernel: into the tunnel or nowhere, whatever the addresses."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.netns.conftest import MakeNamespace, ip
from tests.unit.tundev.parameters import PARAMETERS
from tundev import paths, technician_port
from tundev.port import laptop
from vtunlib.namespace import inside
from vtunlib.network import Address, Item, Network, Tun
from vtunlib.network.kernel import Kernel
from vtunlib.tunnel import TunnelMode

PORT = "port"
ADDRESS = ipaddress.IPv4Interface("192.168.38.225/29")
OWN = "192.168.1.2"
"""The master's uplink address, which a host of the customer has, too."""
CUSTOMER = "192.168.1.50"
SUPPORT = "192.168.1.1"
"""A host on the master's own LAN."""
MAC = "02:00:00:00:00:07"


@dataclass(frozen=True)
class Desk:
    """Three namespaces; a pair of interfaces without ARP stands for the tunnel."""

    master: str
    laptop: str
    customer: str

    def pings(self, address: str) -> bool:
        argv = ["ip", "netns", "exec", self.laptop, "ping", "-c1", "-W1", "-q", address]
        return subprocess.run(argv, check=False, capture_output=True).returncode == 0

    def sysctl(self, name: str, value: str | None = None) -> str:
        word = name if value is None else f"{name}={value}"
        argv = ["ip", "netns", "exec", self.master, "sysctl", "-n", word]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def desk(make_namespace: MakeNamespace) -> Iterator[Desk]:
    made = Desk(make_namespace(), make_namespace(), make_namespace())
    master, laptop, customer = made.master, made.laptop, made.customer
    for name in (master, laptop, customer):
        ip("link", "set", "lo", "up", namespace=name)
    ip("link", "add", "up0", "netns", master, "type", "veth", "peer", "name", "lan", "netns", customer)
    ip("link", "add", "port", "netns", master, "type", "veth", "peer", "name", "eth0", "netns", laptop)
    ip("address", "add", f"{OWN}/24", "dev", "up0", namespace=master)
    ip("link", "set", "up0", "up", namespace=master)
    ip("route", "add", "default", "via", SUPPORT, namespace=master)
    ip("link", "set", "lan", "up", namespace=customer)
    ip("address", "add", "192.168.38.226/29", "dev", "eth0", namespace=laptop)
    ip("link", "set", "eth0", "up", namespace=laptop)
    for address in (OWN, CUSTOMER, SUPPORT):
        ip("address", "add", f"{address}/32", "dev", "lo", namespace=customer)
    yield made


def tunnel(desk: Desk) -> None:
    """What a session's tunnel would be; both ends with one MAC address, for nobody asks for it."""
    link = ["link", "add", paths.LEG, "netns", desk.master, "address", MAC, "type", "veth"]
    ip(*link, "peer", "name", "leg", "netns", desk.customer, "address", MAC)
    for name, interface, address in (
        (desk.master, paths.LEG, PARAMETERS.device_interface),
        (desk.customer, "leg", PARAMETERS.rdv_interface),
    ):
        ip("link", "set", interface, "arp", "off", "up", namespace=name)
        ip("address", "add", str(address), "dev", interface, namespace=name)


def joined() -> list[Item]:
    """An L3 session's state, but for the tunnel itself."""
    leg = Address(paths.LEG, PARAMETERS.device_interface)
    return [
        item
        for item in technician_port.joined(PORT, PARAMETERS, TunnelMode.L3)
        if not isinstance(item, Tun) and item != leg
    ]


def route(desk: Desk) -> None:
    ip("route", "add", "default", "via", str(ADDRESS.ip), namespace=desk.laptop)


@pytest.mark.parametrize("strict", ["0", "1"], ids=["no-filter", "strict-filter"])
def test_the_tunnel_reaches_the_customer_also_under_the_masters_own_address(desk: Desk, strict: str) -> None:
    for name in ("all", "default"):
        desk.sysctl(f"net.ipv4.conf.{name}.rp_filter", strict)
    Network(desk.master).set(laptop.addressed(PORT, ADDRESS))
    network = Network(desk.master)
    network.set(technician_port.idle())
    route(desk)
    assert not desk.pings(CUSTOMER)
    tunnel(desk)
    network.set(joined())
    assert desk.pings(CUSTOMER) and desk.pings(OWN)
    assert desk.sysctl("net.ipv4.ip_forward") == "0"
    network.set(technician_port.idle())
    assert not desk.pings(CUSTOMER) and not desk.pings(OWN)
    assert desk.sysctl("net.ipv4.conf.port.forwarding") == "0"


def test_with_the_tunnel_gone_nothing_reaches_the_support_lan(desk: Desk) -> None:
    """The agent killed in a session: its state stays, the tunnel goes, and forwarding is even on."""
    route(desk)
    tunnel(desk)
    for items in (laptop.addressed(PORT, ADDRESS), joined()):
        Network(desk.master).set(items)
    assert desk.pings(CUSTOMER)
    ip("link", "delete", paths.LEG, namespace=desk.master)
    ip("address", "delete", f"{SUPPORT}/32", "dev", "lo", namespace=desk.customer)
    ip("address", "add", f"{SUPPORT}/24", "dev", "lan", namespace=desk.customer)
    desk.sysctl("net.ipv4.ip_forward", "1")
    assert desk.pings(str(ADDRESS.ip))
    assert not desk.pings(SUPPORT) and not desk.pings(OWN)


def test_the_port_s_address_is_reached_through_the_port_alone(desk: Desk) -> None:
    """The kernel would take in a packet for it on the uplink as well."""
    ip("address", "add", f"{SUPPORT}/24", "dev", "lan", namespace=desk.customer)
    ip("route", "add", str(ADDRESS.ip), "via", OWN, "src", SUPPORT, "dev", "lan", namespace=desk.customer)
    ip("address", "delete", f"{OWN}/32", "dev", "lo", namespace=desk.customer)
    neighbour = ["ip", "netns", "exec", desk.customer, "ping", "-c1", "-W1", "-q", str(ADDRESS.ip)]
    network = Network(desk.master)
    network.set([Address(PORT, ADDRESS)])
    assert subprocess.run(neighbour, check=False, capture_output=True).returncode == 0
    network.set(laptop.addressed(PORT, ADDRESS))
    assert subprocess.run(neighbour, check=False, capture_output=True).returncode != 0
    assert desk.pings(str(ADDRESS.ip))


def answer_as_a_dhcp_server() -> None:
    """Send what is taken for one's answer by its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 67))
        server.sendto(b"offer", ("192.168.38.226", 68))


def test_before_it_is_known_whose_network_is_there_no_dhcp_answer_leaves(desk: Desk) -> None:
    network = Network(desk.master)
    network.set(laptop.addressed(PORT, ADDRESS, answering=False))
    with pytest.raises(PermissionError):  # nft(8): a packet of this host's own that is dropped
        inside(desk.master, answer_as_a_dhcp_server)
    network.set(laptop.addressed(PORT, ADDRESS))
    inside(desk.master, answer_as_a_dhcp_server)


def test_all_of_it_can_be_taken_away(desk: Desk) -> None:
    def state() -> list[list[str]]:
        words = [("-4", "rule"), ("-4", "-br", "address"), ("-4", "route", "show", "table", "all")]
        return [sorted(ip(*word, namespace=desk.master).splitlines()) for word in words]

    ip("link", "set", "port", "up", namespace=desk.master)
    before = state()
    network = Network(desk.master)
    network.set(laptop.addressed(PORT, ADDRESS))
    assert state() != before
    network.clear()
    assert state() == before


def test_a_new_watcher_takes_away_what_a_dead_one_left_of_another_port(desk: Desk) -> None:
    ip("link", "add", "new", "type", "veth", "peer", "name", "new2", namespace=desk.master)
    Network(desk.master).set(laptop.addressed(PORT, ADDRESS))
    new = ipaddress.IPv4Interface("10.9.8.1/28")
    network = Network(desk.master)
    network.adopt(inside(desk.master, left_behind))
    network.set(laptop.addressed("new", new))
    rules = ip("-4", "rule", namespace=desk.master)
    assert PORT not in rules and "iif new lookup 7001" in rules
    addresses = ip("-4", "-br", "address", namespace=desk.master)
    assert str(ADDRESS) not in addresses and str(new) in addresses


def left_behind() -> list[Item]:
    with Kernel() as kernel:
        return laptop.left_behind(kernel)
