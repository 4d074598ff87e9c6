"""What this device is attached to, which the laptop's subnet must not clash with: read from the kernel."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from tundev import paths
from tundev.port.subnets import Taken
from vtunlib.network.addresses import MAIN_TABLE
from vtunlib.network.kernel import Kernel

WIDEST = 8
"""Prefix of the widest route that counts: a VPN's two halves of the Internet stand for a default route."""


def of_device(kernel: Kernel, port: str, rdv: Iterable[ipaddress.IPv4Address]) -> list[Taken]:
    """The networks of its addresses and routes but for those of `port`, and the RDV server's addresses.

    What is of a session is left out: the RDV chooses that, and it is on the tunnel alone.
    """
    links = kernel.dumped("links", kernel.ipr.get_links)
    names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
    passed_over = {"lo", port, paths.LEG}
    found = []
    for message in kernel.dumped("addresses", kernel.ipr.get_addr, family=socket.AF_INET):
        name = names.get(message["index"])
        address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if name is not None and name not in passed_over and address:
            network = ipaddress.IPv4Interface(f"{address}/{message['prefixlen']}").network
            found.append(Taken(network, f"the network of {name}"))
    for route in kernel.dumped("routes", kernel.ipr.get_routes, family=socket.AF_INET, table=MAIN_TABLE):
        name, destination = names.get(route.get_attr("RTA_OIF")), route.get_attr("RTA_DST")
        if destination and route["dst_len"] >= WIDEST and name not in passed_over:
            network = ipaddress.IPv4Network(f"{destination}/{route['dst_len']}")
            found.append(Taken(network, "a route of this device"))
    found += [Taken(ipaddress.IPv4Network(address), "the RDV server") for address in rdv]
    return found
