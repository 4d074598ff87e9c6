"""The network on the technician's port, as desired state: what the watcher owns of it.

What comes in on the port, and only that, is looked up in a table of its own: the
tunnel during a session, which is the agent's, and at its end always `unreachable`. That
lookup stands before the kernel's local table, so that a customer's host is reached even
where it has the very address of this device's uplink.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Hashable
from dataclasses import dataclass

from tundev import paths
from vtunlib.network import Address, Item, LinkUp, NftTable, Route, Rule, Sysctl
from vtunlib.network.item import check_link_name
from vtunlib.network.kernel import Kernel, refused

LOCAL_TABLE = 255
OWN_SUBNET_PRIORITY = 100
PORT_PRIORITY = 101
LOCAL_PRIORITY = 110
LAST_RESORT = 1_000_000
"""Metric of the unreachable route: any other comes first."""
_EVERYWHERE = ipaddress.IPv4Network("0.0.0.0/0")
_ANSWERS = "ct state established,related accept"


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
    for rule in kernel.ipr.get_rules(family=socket.AF_INET):
        bound = rule.get_attr("FRA_IIFNAME") or rule.get_attr("FRA_DST")
        if rule.get_attr("FRA_TABLE") == LOCAL_TABLE and not bound:
            found.add(int(rule.get_attr("FRA_PRIORITY") or 0))
    return found


@dataclass(frozen=True)
class OutOfBridges(Item):
    """A link that is no port of a bridge: an agent that died in an L2 session may have left it in one."""

    link: str

    def __post_init__(self) -> None:
        check_link_name(self.link)

    @property
    def key(self) -> Hashable:
        return ("out of bridges", self.link)

    def do(self, kernel: Kernel, /) -> None:
        link = kernel.need_link(self.link)
        if link.bridge:
            kernel.set_link(link.index, master=0)

    def undo(self, _kernel: Kernel, _former: str | None, /) -> None:
        """Nobody wants it back in there."""


def firewall(
    port: str, address: ipaddress.IPv4Interface | None = None, *, answering: bool = True
) -> NftTable:
    """The laptop may ask this device for an address, a name, its page and an echo; nothing else.

    address: this device's on the port; nobody reaches it but through the port. answering: whether a
    DHCP server's answers leave by the port.
    """
    rules = [
        f'iifname "{port}" {_ANSWERS}',
        f'iifname "{port}" udp dport {{ 53, 67, 5353 }} accept',
        f'iifname "{port}" tcp dport {{ 53, 80 }} accept',
        f'iifname "{port}" icmp type echo-request accept',
        f'iifname "{port}" drop',
    ]
    if address is not None:
        # The kernel takes in a packet for any address of its on any interface (ip-sysctl: weak host model).
        rules.append(f'iifname != "lo" ip daddr {address.ip} drop')
    lines = ["  chain input {", "    type filter hook input priority filter; policy accept;"]
    lines += [*(f"    {rule}" for rule in rules), "  }"]
    if not answering:
        lines += ["  chain output {", "    type filter hook output priority filter; policy accept;"]
        lines += [f'    oifname "{port}" udp sport 67 drop', "  }"]
    return NftTable("inet", paths.PORT_NFT_TABLE, "\n".join(lines))


def closed(port: str) -> list[Item]:
    """Without an address: in no state of the port does it lead anywhere but into a session's tunnel."""
    return [
        firewall(port),
        Sysctl(f"net/ipv6/conf/{port}/disable_ipv6", "1", otherwise="0"),
        Route(_EVERYWHERE, table=paths.ROUTING_TABLE, type="unreachable", metric=LAST_RESORT),
        Rule(PORT_PRIORITY, iif=port, table=paths.ROUTING_TABLE),
        LocalTableLater(LOCAL_PRIORITY),
        LinkUp(port),
    ]


def addressed(port: str, address: ipaddress.IPv4Interface, *, answering: bool = True) -> list[Item]:
    """With this device's address in the laptop's network. answering: as `firewall` has it."""
    _, *others = closed(port)
    return [
        firewall(port, address, answering=answering),
        *others,
        OutOfBridges(port),
        Rule(OWN_SUBNET_PRIORITY, iif=port, to=address.network, table=LOCAL_TABLE),
        Address(port, address),
    ]


def left_behind(kernel: Kernel) -> list[Item]:
    """What a watcher that is dead by now has set, by the rules that stand for it."""
    found: dict[Hashable, Item] = {}
    for rule in kernel.ipr.get_rules(family=socket.AF_INET):
        port, priority = rule.get_attr("FRA_IIFNAME"), rule.get_attr("FRA_PRIORITY")
        if not port or priority not in (OWN_SUBNET_PRIORITY, PORT_PRIORITY):
            continue
        items = closed(port)
        network = rule.get_attr("FRA_DST")
        if priority == OWN_SUBNET_PRIORITY and network:
            subnet = ipaddress.IPv4Network((network, rule["dst_len"]))
            items = addressed(port, ipaddress.IPv4Interface((subnet[1], subnet.prefixlen)))
        for item in items:
            found.setdefault(item.key, item)
    return list(found.values())


def replug(kernel: Kernel, port: str) -> None:
    """Take the carrier from the laptop for a moment, as if its cable had been plugged in elsewhere.

    It is on another network now, and a laptop asks for an address at once when the carrier comes back;
    with the carrier there it would keep the old one for half of its lease.
    """
    link = kernel.link(port)
    if link is not None:
        kernel.set_link(link.index, gone_is_fine=True, state="down")
        kernel.set_link(link.index, gone_is_fine=True, state="up")
