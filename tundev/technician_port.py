"""The master's network around the technician's interface, as desired state.

What comes in on that interface, and only that, is looked up in a table of its
own: the tunnel during a session, and at its end always `unreachable`. That
lookup stands before the kernel's local table, so that a customer's host is
reached even where it has the very address of this device's uplink.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from dataclasses import dataclass

from tundev import firewall, leg, paths
from vtunlib import units
from vtunlib.network import Address, Bridge, Item, LinkUp, Port, Route, Rule, Sysctl
from vtunlib.network.kernel import Kernel, refused
from vtunlib.tunnel import TunnelMode, VtunParameters

LOCAL_TABLE = 255
OWN_SUBNET_PRIORITY = 100
PORT_PRIORITY = 101
LOCAL_PRIORITY = 110
LAST_RESORT = 1_000_000
"""Metric of the unreachable route: any other comes first."""
LEASE = "2m"
_EVERYWHERE = ipaddress.IPv4Network("0.0.0.0/0")


@dataclass(frozen=True)
class LocalTableLater(Item):
    """The kernel's own first rule, which looks up the local table, at `priority` and not at 0."""

    priority: int

    @property
    def key(self) -> Hashable:
        return ("local table",)

    def do(self, kernel: Kernel, /) -> None:
        self._move(kernel, 0, self.priority)

    def undo(self, kernel: Kernel, _former: str | None, /) -> None:
        self._move(kernel, self.priority, 0)

    @staticmethod
    def _move(kernel: Kernel, old: int, new: int) -> None:
        # First the new one: at no time is the device without its local table.
        there = _local_rules(kernel)
        with refused("rule of the local table"):
            if new not in there:
                kernel.ipr.rule("add", priority=new, table=LOCAL_TABLE)
            if old in there:
                kernel.ipr.rule("del", priority=old, table=LOCAL_TABLE)


def _local_rules(kernel: Kernel) -> set[int]:
    """Priorities of the rules that send everything to the local table."""
    found = set()
    for rule in kernel.ipr.get_rules(family=2):
        bound = rule.get_attr("FRA_IIFNAME") or rule.get_attr("FRA_DST")
        if rule.get_attr("FRA_TABLE") == LOCAL_TABLE and not bound:
            found.add(int(rule.get_attr("FRA_PRIORITY") or 0))
    return found


@dataclass(frozen=True)
class TechnicianPort:
    """The interface and the small network on it, whose first address is this device's."""

    interface: str
    subnet: ipaddress.IPv4Network

    @property
    def address(self) -> ipaddress.IPv4Interface:
        """This device's address on it."""
        return ipaddress.IPv4Interface((self.subnet[1], self.subnet.prefixlen))

    def _always(self) -> list[Item]:
        """With and without a session, in every mode: it leads nowhere but into the tunnel."""
        return [
            Sysctl(f"net/ipv6/conf/{self.interface}/disable_ipv6", "1"),
            Route(_EVERYWHERE, table=paths.ROUTING_TABLE, type="unreachable", metric=LAST_RESORT),
            Rule(OWN_SUBNET_PRIORITY, iif=self.interface, to=self.subnet, table=LOCAL_TABLE),
            Rule(PORT_PRIORITY, iif=self.interface, table=paths.ROUTING_TABLE),
            LocalTableLater(LOCAL_PRIORITY),
            LinkUp(self.interface),
        ]

    def idle(self) -> list[Item]:
        """Without a session."""
        table = firewall.master_idle(self.interface)
        return [table, *self._always(), Address(self.interface, self.address)]

    def joined(self, parameters: VtunParameters, mode: TunnelMode) -> list[Item]:
        """With a session."""
        tunnel = leg.items(parameters, mode)
        if mode is TunnelMode.L2:
            bridge = paths.MASTER_BRIDGE
            return [
                firewall.master_idle(self.interface),
                *self._always(),
                *tunnel,
                Bridge(bridge),
                Sysctl(f"net/ipv6/conf/{bridge}/disable_ipv6", "1"),
                # ip-sysctl: 8, answer ARP for none of our addresses; they are not the customer's business.
                Sysctl(f"net/ipv4/conf/{bridge}/arp_ignore", "8"),
                Port(paths.LEG, bridge),
                Port(self.interface, bridge),
            ]
        return [
            firewall.master_routed(self.interface),
            *self._always(),
            Address(self.interface, self.address),
            *tunnel,
            # Answers may come from a host with an address of our own uplink.
            Sysctl("net/ipv4/conf/all/rp_filter", "0"),
            Sysctl(f"net/ipv4/conf/{paths.LEG}/rp_filter", "0"),
            Sysctl(f"net/ipv4/conf/{paths.LEG}/accept_local", "1"),
            Address(paths.LEG, parameters.device_interface),
            Route(_EVERYWHERE, link=paths.LEG, table=paths.ROUTING_TABLE, metric=1),
            Sysctl("net/ipv4/ip_forward", "1"),
        ]

    # Addresses for the laptop

    def serve_addresses(self) -> None:
        """Start (or start again) the DHCP service on it. Raises RdvError."""
        paths.dnsmasq_conf(self.interface).write_text(self.dhcp_config(), encoding="ascii")
        units.restart(paths.dhcp_service(self.interface))

    def step_aside(self) -> None:
        """Stop the DHCP service: the laptop belongs to the customer's network."""
        units.stop(paths.dhcp_service(self.interface))

    def dhcp_config(self) -> str:
        """The text for dnsmasq(8): addresses only, names are not its business here."""
        first, last = self.subnet[2], self.subnet[-2]
        return "\n".join(
            [
                "port=0",
                "no-resolv",
                "no-hosts",
                f"interface={self.interface}",
                "except-interface=lo",
                "bind-dynamic",
                "dhcp-authoritative",
                f"dhcp-range={first},{last},{self.subnet.netmask},{LEASE}",
                f"dhcp-option=option:router,{self.address.ip}",
                "dhcp-option=option:dns-server",
                "leasefile-ro",
                "no-ping",
                "",
            ]
        )
