"""The values of `[uplink]`: each is parsed to its type, or refused with what was expected.

Values of keys that hold secrets are not repeated in errors.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from tundev.config_values import Server, WrongForm, matching, switch
from tundev.uplinks.wanted import Ethernet, Kind, Modem, Uplink, Wifi

SSID_LIMIT = 32
"""Bytes (IEEE 802.11)."""
DNS_LIMIT = 3
"""Servers: resolv.conf(5) takes no more."""
TEXT_LIMIT = 100
"""Characters of a modem's user and password; no network's are longer."""

# IEEE 802.11: a passphrase is of these characters; 64 digits are the key itself.
_PSK = re.compile(r"[ -~]{8,63}|[0-9A-Fa-f]{64}")

# 3GPP TS 23.003, 9.1, and what NetworkManager takes.
apn = matching(re.compile(r"[A-Za-z0-9._-]{1,64}"), 'the APN of the SIM\'s network, as in "internet"')
country = matching(re.compile(r"[A-Z]{2}"), 'a country in two capital letters (ISO 3166), as in "FR"')
pin = matching(re.compile(r"[0-9]{4,8}"), "the SIM's PIN: 4 to 8 digits, in quotes")


def order(value: object) -> tuple[Kind, ...]:
    """Kinds of uplinks, each at most once."""
    expected = 'a list of "ethernet", "wifi" and "modem", or some of them, each once'
    if not isinstance(value, list) or any(kind not in list(Kind) for kind in value):
        raise WrongForm(expected)
    kinds = tuple(Kind(kind) for kind in value)
    if len(set(kinds)) != len(kinds):
        raise WrongForm(expected)
    return kinds


def address(value: object) -> ipaddress.IPv4Interface:
    """An IPv4 address of a host, with the length of its network's prefix."""
    expected = 'an IPv4 address with its prefix, as in "192.168.1.9/24"'
    try:
        found = ipaddress.IPv4Interface(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        found = None
    if found is None or not 8 <= found.network.prefixlen <= 31 or not _is_host(found.ip, found.network):
        raise WrongForm(expected)
    return found


def gateway(value: object) -> ipaddress.IPv4Address:
    """The IPv4 address of a router."""
    found = _ipv4(value)
    if found is None:
        raise WrongForm('the router\'s IPv4 address, as in "192.168.1.1"')
    return found


def dns(value: object) -> tuple[ipaddress.IPv4Address, ...]:
    """Some IPv4 addresses, the first to ask before the others."""
    found = [_ipv4(item) for item in value] if isinstance(value, list) else []
    if None in found or not 0 < len(found) <= DNS_LIMIT:
        raise WrongForm(f'a list of 1 to {DNS_LIMIT} IPv4 addresses, as in ["192.168.1.1"]')
    return tuple(address for address in found if address is not None)


def vlan(value: object) -> int:
    """The number of a VLAN (IEEE 802.1Q): 0 and 4095 are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 4095:
        raise WrongForm("a VLAN's number from 1 to 4094, without quotes")
    return value


def ssid(value: object) -> str:
    """A Wi-Fi network's name: any text that fits."""
    if not isinstance(value, str) or not 0 < len(value.encode()) <= SSID_LIMIT:
        raise WrongForm(f"the name of the Wi-Fi network, a string of 1 to {SSID_LIMIT} bytes of UTF-8")
    return value


def psk(value: object) -> str:
    """A Wi-Fi network's passphrase or key; it is a secret and not repeated."""
    if not isinstance(value, str) or not _PSK.fullmatch(value):
        raise WrongForm("the network's passphrase: 8 to 63 characters of ASCII, or 64 hexadecimal digits")
    return value


def text(value: object) -> str:
    """A modem's user or password; it is a secret and not repeated."""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT or not value.isprintable():
        raise WrongForm(f"a string of 1 to {TEXT_LIMIT} printable characters")
    return value


TABLES: Mapping[str, Mapping[str, Callable[[object], Any]]] = {
    "uplink": {"order": order},
    "uplink.ethernet": {"address": address, "gateway": gateway, "dns": dns, "vlan": vlan},
    "uplink.wifi": {"ssid": ssid, "psk": psk, "country": country, "hidden": switch},
    "uplink.modem": {"apn": apn, "user": text, "password": text, "pin": pin},
}
REQUIRED = {"uplink.wifi": ("ssid",), "uplink.modem": ("apn",)}


def uplink(values: Mapping[str, Mapping[str, Any]]) -> Uplink:
    """The uplinks, by the parsed values of each of TABLES that is there."""
    return Uplink(
        values.get("uplink", {}).get("order", ()),
        Ethernet(**values.get("uplink.ethernet", {})),
        Wifi(**values["uplink.wifi"]) if "uplink.wifi" in values else None,
        Modem(**values["uplink.modem"]) if "uplink.modem" in values else None,
    )


def disagreement(
    values: Mapping[str, Mapping[str, Any]], asked_by_name: Server | None
) -> tuple[str, str, str] | None:
    """Table, key and what is wrong where two values of `[uplink]` do not go together; None where all do.

    values: those of each table, parsed. asked_by_name: the server, where this device has to look its name up.
    """
    for kind in values.get("uplink", {}).get("order", ()):
        if kind is not Kind.ETHERNET and f"uplink.{kind}" not in values:
            return "uplink", "order", f"names {kind}, and there is no [uplink.{kind}]"
    ethernet = values.get("uplink.ethernet", {})
    own, router = ethernet.get("address"), ethernet.get("gateway")
    if own is None:
        return ("uplink.ethernet", "gateway", "needs an address beside it") if router else None
    if router is None:
        return "uplink.ethernet", "address", "needs a gateway beside it"
    if router not in own.network or router == own.ip or not _is_host(router, own.network):
        return "uplink.ethernet", "gateway", f"expected another host's address in {own.network}"
    if asked_by_name is not None and not ethernet.get("dns"):
        return "uplink.ethernet", "address", f"needs dns beside it: {asked_by_name.host} is a name"
    return None


def _ipv4(value: object) -> ipaddress.IPv4Address | None:
    try:
        found = ipaddress.IPv4Address(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is None or _is_host(found, None) else None


def _is_host(address: ipaddress.IPv4Address, network: ipaddress.IPv4Network | None) -> bool:
    """Whether a host can have it: not the network's own nor its broadcast; a /31 has none (RFC 3021)."""
    if address.is_multicast or address.is_loopback or address.is_unspecified or address.is_reserved:
        return False
    if network is None or network.prefixlen == 31:
        return True
    return address not in (network.network_address, network.broadcast_address)
