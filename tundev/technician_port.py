"""The master's network around the technician's interface, as desired state.

What comes in on that interface, and only that, is looked up in a table of its
own: the tunnel during a session, and at its end always `unreachable`. That
lookup stands before the kernel's local table, so that a customer's host is
reached even where it has the very address of this device's uplink.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from tundev import firewall, leg, paths
from vtunlib import units
from vtunlib.errors import NotFound
from vtunlib.network import Address, Bridge, Item, LinkUp, Port, Route, Rule, Sysctl, forget
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


def replug(kernel: Kernel, interface: str) -> None:
    """Take the carrier from the laptop for a moment, as if its cable had been plugged in elsewhere.

    It is on another network now, and a laptop asks for an address at once when the carrier comes back;
    with the carrier there it would keep the old one for half of its lease.
    """
    link = kernel.link(interface)
    if link is not None:
        kernel.set_link(link.index, state="down")
        kernel.set_link(link.index, state="up")


def bridged_port(kernel: Kernel) -> str | None:
    """The technician's port of an L2 session that is there still."""
    bridge = kernel.link(paths.MASTER_BRIDGE)
    for message in kernel.ipr.get_links() if bridge else []:
        name: str = message.get_attr("IFLA_IFNAME")
        if bridge and message.get_attr("IFLA_MASTER") == bridge.index and name != paths.LEG:
            return name
    return None


def _ports(kernel: Kernel) -> set[TechnicianPort]:
    """The ports that the rules stand for now; a port without its first rule is not seen."""
    found = set()
    for rule in kernel.ipr.get_rules(family=socket.AF_INET, priority=OWN_SUBNET_PRIORITY):
        interface, network = rule.get_attr("FRA_IIFNAME"), rule.get_attr("FRA_DST")
        if rule.get_attr("FRA_PRIORITY") == OWN_SUBNET_PRIORITY and interface and network:
            subnet = ipaddress.IPv4Network((network, rule["dst_len"]))
            found.add(TechnicianPort(interface, subnet))
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

    def check(self) -> None:
        """Raises NotFound where there is no such interface."""
        if not Path("/sys/class/net", self.interface).exists():
            raise NotFound(
                f"the technician's port {self.interface} is not there",
                f"plug the adapter in, or correct interface in [master] of {paths.CONFIG}",
            )

    def _always(self) -> list[Item]:
        """With and without a session, in every mode: it leads nowhere but into the tunnel."""
        return [
            Sysctl(f"net/ipv6/conf/{self.interface}/disable_ipv6", "1", otherwise="0"),
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
            # Answers come from addresses that the routes have elsewhere (2, loose, also wins over a
            # strict `all`), even from a host with the very address of our own uplink.
            Sysctl(f"net/ipv4/conf/{paths.LEG}/rp_filter", "2"),
            Sysctl(f"net/ipv4/conf/{paths.LEG}/accept_local", "1"),
            Address(paths.LEG, parameters.device_interface),
            Route(_EVERYWHERE, link=paths.LEG, table=paths.ROUTING_TABLE, metric=1),
            *leg.forwarding(self.interface),
        ]

    def forget_others(self) -> None:
        """Take away what was set for the ports that the configuration named before. Raises RdvError."""
        with Kernel() as kernel:
            others = _ports(kernel) - {self}
        for other in others:
            kept = {item.key for item in self.idle()}
            forget([item for item in other.idle() if item.key not in kept])

    def replug(self) -> None:
        """As the function. Raises RdvError."""
        with Kernel() as kernel:
            replug(kernel, self.interface)

    # Addresses for the laptop

    def serve_addresses(self) -> None:
        """Start (or start again) the DHCP service on it, and on it alone. Raises RdvError."""
        for unit in units.units_named(paths.DHCP_SERVICES):
            if unit != paths.dhcp_service(self.interface):
                units.stop(unit)
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
