"""The network of this device as the kernel has it: links, addresses, routes, rules, nftables. Read only."""

from __future__ import annotations

import socket
from typing import Any

from tundev import lan
from vtunlib.network import rule_set

_LINK = ("IFLA_IFNAME", "IFLA_MTU", "IFLA_OPERSTATE", "IFLA_CARRIER", "IFLA_ADDRESS", "IFLA_MASTER")
_COUNTS = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped")


def network_state() -> dict[str, Any]:
    """All of it, for JSON; links by their index as well as by name. Raises RdvError."""
    from pyroute2 import IPRoute

    with IPRoute() as ipr:
        return {
            "links": [_link(message) for message in ipr.get_links()],
            "addresses": [_attributes(message, "index", "prefixlen", "scope") for message in ipr.get_addr()],
            "routes": [
                _attributes(message, "dst_len", "type", "scope", "proto")
                for family in (socket.AF_INET, socket.AF_INET6)
                for message in ipr.get_routes(family=family)
            ],
            "rules": [
                _attributes(message, "src_len", "dst_len", "action")
                for family in (socket.AF_INET, socket.AF_INET6)
                for message in ipr.get_rules(family=family)
            ],
            "neighbours": [_attributes(message, "ifindex", "state") for message in ipr.get_neighbours()],
            "dns_servers": [str(address) for address in lan.dns_servers()],
            "nftables": rule_set(),
        }


def _link(message: Any) -> dict[str, Any]:
    told = {"index": message["index"], "flags": message["flags"]}
    told |= {name.removeprefix("IFLA_").lower(): message.get_attr(name) for name in _LINK}
    info = message.get_attr("IFLA_LINKINFO")
    told["kind"] = info.get_attr("IFLA_INFO_KIND") if info else None
    counts = message.get_attr("IFLA_STATS64") or {}
    told |= {name: counts[name] for name in _COUNTS if name in counts}
    return {key: value for key, value in told.items() if value is not None}


def _attributes(message: Any, *fields: str) -> dict[str, Any]:
    """Those fields, and all attributes that are plain values."""
    told = {field: message[field] for field in fields}
    told |= {
        name.partition("_")[2].lower(): value
        for name, value in message["attrs"]
        if isinstance(value, str | int)
    }
    return told
