"""The master's network in a session, as desired state: what leads on from the technician's port.

The port itself, its address, and the rules that send what comes in on it to table 7001 and
there to `unreachable` are secondary-if-watcher's (tundev.port.laptop).
"""

from __future__ import annotations

import ipaddress

from tundev import firewall, leg, paths
from vtunlib.network import Address, Bridge, Item, Port, Route, Sysctl
from vtunlib.tunnel import TunnelMode, VtunParameters

_EVERYWHERE = ipaddress.IPv4Network("0.0.0.0/0")


def idle() -> list[Item]:
    """Without a session."""
    return [firewall.idle()]


def joined(port: str, parameters: VtunParameters, mode: TunnelMode) -> list[Item]:
    """With a session on the interface `port`."""
    tunnel = leg.items(parameters, mode)
    if mode is TunnelMode.L2:
        bridge = paths.MASTER_BRIDGE
        return [
            firewall.idle(),
            *tunnel,
            Bridge(bridge),
            Sysctl(f"net/ipv6/conf/{bridge}/disable_ipv6", "1"),
            # ip-sysctl: 8, answer ARP for none of our addresses; they are not the customer's business.
            Sysctl(f"net/ipv4/conf/{bridge}/arp_ignore", "8"),
            Port(paths.LEG, bridge),
            Port(port, bridge),
        ]
    return [
        firewall.master_routed(port),
        *tunnel,
        # Answers come from addresses that the routes have elsewhere (2, loose, also wins over a
        # strict `all`), even from a host with the very address of our own uplink.
        Sysctl(f"net/ipv4/conf/{paths.LEG}/rp_filter", "2"),
        Sysctl(f"net/ipv4/conf/{paths.LEG}/accept_local", "1"),
        Address(paths.LEG, parameters.device_interface),
        Route(_EVERYWHERE, link=paths.LEG, table=paths.ROUTING_TABLE, metric=1),
        *leg.forwarding(port),
    ]
