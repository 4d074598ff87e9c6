"""What the laptop's subnet must keep clear of, as a real kernel tells it."""

from __future__ import annotations

import ipaddress

from tests.netns.conftest import ip
from tundev.port import networks
from tundev.port.subnets import Taken
from vtunlib.namespace import inside
from vtunlib.network.kernel import Kernel

RDV = ipaddress.IPv4Address("203.0.113.10")


def taken(namespace: str) -> set[str]:
    def read() -> list[Taken]:
        with Kernel() as kernel:
            return networks.of_device(kernel, "port", [RDV])

    return {str(one) for one in inside(namespace, read)}


def test_it_is_the_device_s_addresses_and_routes_and_the_rdv(namespace: str) -> None:
    for link, address in (
        ("eth0", "192.168.7.2/24"),
        ("port", "192.168.38.225/29"),
        ("tundev-leg", "10.1.1.2/30"),
    ):
        ip("link", "add", link, "type", "bridge", namespace=namespace)
        ip("address", "add", address, "dev", link, namespace=namespace)
        ip("link", "set", link, "up", namespace=namespace)
    ip("link", "set", "lo", "up", namespace=namespace)
    ip("route", "add", "default", "via", "192.168.7.1", namespace=namespace)
    ip("route", "add", "172.16.0.0/12", "via", "192.168.7.9", namespace=namespace)
    # A VPN's way to take over the default route is no network of this device.
    for half in ("0.0.0.0/1", "128.0.0.0/1"):
        ip("route", "add", half, "via", "192.168.7.9", namespace=namespace)
    assert taken(namespace) == {
        "the network of eth0, 192.168.7.0/24",
        "a route of this device, 192.168.7.0/24",
        "a route of this device, 172.16.0.0/12",
        "the RDV server, 203.0.113.10/32",
    }
