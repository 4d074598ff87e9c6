"""What a device forwards, as the text of a nftables table: pure.

Its forward policy is drop, with and without a session. Bridged frames pass the
forward hook too where the kernel has br_netfilter, hence the rules that let a
bridge talk to itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from tundev import paths
from vtunlib.network import NftTable

_ANSWERS = "ct state established,related accept"


def _table(incoming: list[str], forwarded: list[str], translated: list[str]) -> NftTable:
    chains = [
        ("input", "type filter hook input priority filter; policy accept;", incoming),
        ("forward", "type filter hook forward priority filter; policy drop;", forwarded),
        ("postrouting", "type nat hook postrouting priority srcnat; policy accept;", translated),
    ]
    lines = []
    for name, hook, rules in chains:
        lines += [f"  chain {name} {{", f"    {hook}", *(f"    {rule}" for rule in rules), "  }"]
    return NftTable("inet", paths.NFT_TABLE, "\n".join(lines))


# The echo is the RDV's probe, and on the onsite the master's, too.
_FROM_LEG = [
    f'iifname "{paths.LEG}" {_ANSWERS}',
    f'iifname "{paths.LEG}" icmp type echo-request accept',
    f'iifname "{paths.LEG}" drop',
]
_BRIDGED = [f'iifname "{name}" oifname "{name}" accept' for name in (paths.LAN_BRIDGE, paths.MASTER_BRIDGE)]


def idle() -> NftTable:
    """Nothing is forwarded but within a bridge, and this device is not spoken to in an L2 session."""
    return _table([*_FROM_LEG, f'iifname "{paths.MASTER_BRIDGE}" drop'], _BRIDGED, [])


def onsite_routed(links: Sequence[str], leg: ipaddress.IPv4Network) -> NftTable:
    """What comes out of the tunnel may begin towards the networks of these links, which only answer."""
    others = ", ".join(f'"{link}"' for link in links)
    return _table(
        _FROM_LEG,
        [
            *_BRIDGED,
            f'iifname "{paths.LEG}" oifname {{ {others} }} accept',
            f'iifname {{ {others} }} oifname "{paths.LEG}" {_ANSWERS}',
        ],
        [f"ip saddr {leg} oifname {{ {others} }} masquerade"],
    )


def master_routed(port: str) -> NftTable:
    """From the technician's port into the tunnel, and answers back."""
    return _table(
        _FROM_LEG,
        [
            f'iifname "{port}" oifname "{paths.LEG}" accept',
            f'iifname "{paths.LEG}" oifname "{port}" {_ANSWERS}',
        ],
        [f'oifname "{paths.LEG}" masquerade'],
    )
