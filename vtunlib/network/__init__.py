"""Desired network state: items that know do and undo, and the Network that applies them.

    network = Network("rdv-1f2e3d4c")
    network.set([Tun("onsite", TunnelMode.L3), Address("onsite", IPv4Interface("10.0.0.1/30"))])

Everything goes through netlink and libnftables; nothing here starts a program.
"""

from vtunlib.network.addresses import Address, Route, Rule
from vtunlib.network.application import Network, forget
from vtunlib.network.carriers import carrier, watch_carriers
from vtunlib.network.item import Item
from vtunlib.network.links import Bridge, LinkUp, Port, Tun
from vtunlib.network.policy import NftTable, Sysctl, rule_set

__all__ = [
    "Address",
    "Bridge",
    "Item",
    "LinkUp",
    "Network",
    "NftTable",
    "Port",
    "Route",
    "Rule",
    "Sysctl",
    "Tun",
    "carrier",
    "forget",
    "rule_set",
    "watch_carriers",
]
