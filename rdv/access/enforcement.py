"""The reach of a session as rules of nftables, for the namespace that it lives in. Pure.

Routed, connection tracking knows what an answer is. Bridged, it is not used: it
would defragment what a bridge must pass as it is. There both directions have
rules of their own, by address and port; docs/adr/0010 says what follows from that.

The tunnel devices are named for their legs.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from rdv.access.reach import Destination, Reach, Scope
from vtunlib.tunnel import Role

_BROADCAST = "255.255.255.255"
_MULTICAST = "224.0.0.0/4"

# Frames that carry frames or packets of another network: 802.1Q and 802.1ad tags with their former
# numbers, 802.1ah, MPLS, PPPoE, PPP, Ethernet over GRE, NSH; and what hides an Ethernet type in SNAP
# (RFC 1042). None of them is the LAN itself.
_WRAPPERS = (
    "8021q, 8021ad, 0x9100, 0x9200, 0x9300, 0x88e7, 0x8847, 0x8848, 0x8863, 0x8864, 0x880b, 0x6558, 0x894f"
)
_WRAPPED = (
    f"ether type {{ {_WRAPPERS} }} drop",
    "ether type < 0x0600 @ll,112,48 0xaaaa03000000 drop",
)
# Source routing: the addressee would send it on.
_NOT_SENT_ON = ("ip option lsrr exists drop", "ip option ssrr exists drop")

Lines = list[str]


def routed(reach: Reach, lan: IPv4Interface, dns: Iterable[IPv4Address]) -> str:
    """The forward chain of L3: the master's side begins, and the onsite's only answers.

    The destination is looked at in every packet, not only in a connection's first.
    What is refused is told at once, so that nobody waits for a timeout.
    """
    way = f'iifname "{Role.MASTER}" oifname "{Role.ONSITE}"'
    begins = "ct state new,established,related"
    if reach.scope is Scope.ALL:
        allowed = [f"{way} {begins} accept"]
    else:
        allowed = [f"{way} ct state related meta l4proto icmp accept"]
        # Names must resolve wherever the customer's DNS servers are, and the master asks the onsite itself.
        where = [f"{match} accept" for match in _names("daddr", "dport", dns)]
        where += [f"ip daddr {lan.ip} icmp type echo-request accept"]
        where += [f"{match} accept" for match in _reachable(reach, lan, "daddr", "dport")]
        allowed += [f"{way} {begins} {rule}" for rule in where]
        allowed += [f"{way} reject with icmp type admin-prohibited"]
    answers = f'iifname "{Role.ONSITE}" oifname "{Role.MASTER}" ct state established,related accept'
    return _chain("forward", ["type filter hook forward priority filter; policy drop;", answers, *allowed])


def bridged(reach: Reach, lan: IPv4Interface, dns: Iterable[IPv4Address]) -> str | None:
    """The text of a table of family bridge for L2; None where nothing is filtered."""
    servers = list(dns)
    if reach.scope is Scope.ALL:
        return None
    if reach.scope is Scope.LAN:
        from_master, from_onsite = _of_lan(lan, servers), _to_master()
    else:
        from_master, from_onsite = _of_list(reach, lan, servers), _answers(reach, lan, servers)
    forward = [
        "type filter hook forward priority filter; policy drop;",
        *_WRAPPED,
        f'iifname "{Role.MASTER}" goto from_master',
        f'iifname "{Role.ONSITE}" goto from_onsite',
    ]
    chains = {"from_master": from_master, "from_onsite": from_onsite, "forward": forward}
    return "".join(_chain(name, lines) for name, lines in chains.items())


def _of_lan(lan: IPv4Interface, dns: list[IPv4Address]) -> Lines:
    """IPv4 to the LAN; IPv6 to what is surely on the link, since nobody tells the LAN's prefix; all else."""
    return [
        "ether type arp accept",
        "ether type ip6 exthdr rt exists drop",
        "ether type ip6 ip6 daddr { fe80::/10, ff00::/8 } accept",
        "ether type ip6 drop",
        "ether type != ip accept",
        *_NOT_SENT_ON,
        f"ip daddr {{ {lan.network}, {_MULTICAST}, {_BROADCAST} }} accept",
        *(f"{match} accept" for match in _names("daddr", "dport", dns)),
    ]


def _to_master() -> Lines:
    """All but the router's word that there is IPv6 to the world: what the laptop then sent would be lost."""
    return ["icmpv6 type nd-router-advert drop", "accept"]


def _of_list(reach: Reach, lan: IPv4Interface, dns: list[IPv4Address]) -> Lines:
    return [
        "ether type arp accept",
        "ether type != ip drop",
        *_NOT_SENT_ON,
        # An address, as from any DHCP server; renewing it asks the server itself.
        f"ip daddr {{ {_BROADCAST}, {lan.network} }} udp sport 68 udp dport 67 accept",
        *(f"{match} accept" for match in _names("daddr", "dport", dns)),
        *(f"{match} accept" for match in _reachable(reach, lan, "daddr", "dport")),
    ]


def _answers(reach: Reach, lan: IPv4Interface, dns: list[IPv4Address]) -> Lines:
    """What comes from what is listed, and what routers say of packets that were sent there."""
    return [
        "ether type arp accept",
        "ether type != ip drop",
        "udp sport 67 udp dport 68 accept",
        "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
        *(f"{match} accept" for match in _names("saddr", "sport", dns)),
        *(f"{match} accept" for match in _reachable(reach, lan, "saddr", "sport")),
    ]


def _names(address: str, port: str, dns: Iterable[IPv4Address]) -> Lines:
    servers = ", ".join(map(str, dict.fromkeys(dns)))
    return [f"ip {address} {{ {servers} }} {protocol} {port} 53" for protocol in ("udp", "tcp") if servers]


def _reachable(reach: Reach, lan: IPv4Interface, address: str, port: str) -> Lines:
    if reach.scope is Scope.LAN:
        return [f"ip {address} {lan.network}"]
    return [_match(one, address, port) for one in reach.destinations]


def _match(one: Destination, address: str, port: str) -> str:
    where = f"ip {address} {_network(one.network)}"
    if one.ports is not None:
        return f"{where} {one.protocol} {port} {one.port_range}"
    return f"{where} meta l4proto {one.protocol}" if one.protocol else where


def _network(network: IPv4Network) -> str:
    return str(network) if network.prefixlen else "0.0.0.0-255.255.255.255"


def _chain(name: str, lines: Iterable[str]) -> str:
    return "\n".join([f"  chain {name} {{", *(f"    {line}" for line in lines), "  }", ""])
