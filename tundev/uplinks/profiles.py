"""The connections of NetworkManager that are this device's uplinks, as files; pure.

Each tries for as long as the device runs, with the address that its hardware has: a network
may know the device by that. Who is preferred is a metric of the routes
(tundev.uplinks.wanted).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from tundev.paths import LAN_BRIDGE, VLAN
from tundev.uplinks import keyfile
from tundev.uplinks.keyfile import Sections
from tundev.uplinks.wanted import Ethernet, Kind, Modem, Uplink, Wifi, connection
from vtunlib.tunnel import Role

_NAMES = uuid.UUID("5b0c4d5e-7c39-4c8b-9a3e-3f6f7c1d2b10")
"""Namespace of the profiles' UUIDs: the same name gives the same profile on every boot."""

FOREVER = 2**31 - 1
"""Seconds: what NetworkManager takes for no end, where `infinity` is not understood yet."""

_NOT_REQUIRED = "4"
"""NMSettingSecretFlags, in nm-settings(5). A user without a password would wait for a person to type one."""


@dataclass(frozen=True)
class WiredInterface:
    """An Ethernet interface that can be the port of a bridge; mac as the kernel prints it."""

    name: str
    mac: str


def of_onsite(uplink: Uplink, port: WiredInterface | None) -> dict[str, str]:
    """The connections' texts by their ids; port is what the bridge is made of, None: there is no bridge."""
    wired = _bridge(uplink, port) if port is not None else {}
    return _texts(wired | _by_radio(uplink, Role.ONSITE))


def of_master(uplink: Uplink, interface: str | None) -> dict[str, str]:
    """As of_onsite; the wired uplink is whatever Ethernet NetworkManager has, or `interface` alone."""
    return _texts(_wired(uplink, interface) | _by_radio(uplink, Role.MASTER))


def _texts(wanted: dict[str, Sections]) -> dict[str, str]:
    return {name: keyfile.rendered(_named(name, said)) for name, said in wanted.items()}


def _named(name: str, said: Sections) -> Sections:
    """With what all connections have: who it is, and that it is tried again for ever."""
    own = {"id": name, "uuid": _uuid(name), "autoconnect-priority": "100", "autoconnect-retries": "0"}
    return {**said, "connection": {**own, **said["connection"]}}


def _uuid(name: str) -> str:
    return str(uuid.uuid5(_NAMES, name))


def _bridge(uplink: Uplink, port: WiredInterface) -> dict[str, Sections]:
    """An onsite's wired uplink: the bridge, and its port, which may be a VLAN of the interface.

    The bridge has the port's MAC address: left to itself it takes the lowest of
    its ports' and would change it, and its lease, when the tap joins. It speaks
    no spanning tree: a customer's switch may close a port that does.
    """
    bridge: Sections = {
        "connection": {"type": "bridge", "interface-name": LAN_BRIDGE, "autoconnect-slaves": "1"},
        "ethernet": {"cloned-mac-address": port.mac},
        "bridge": {"stp": "false", "multicast-snooping": "false"},
        **_addresses(uplink.ethernet, uplink.metric(Kind.ETHERNET)),
    }
    of_bridge = {"master": LAN_BRIDGE, "slave-type": "bridge"}
    name = f"{LAN_BRIDGE}-port"
    if uplink.ethernet.vlan is None:
        member: Sections = {"connection": {"type": "ethernet", "interface-name": port.name, **of_bridge}}
        return {LAN_BRIDGE: bridge, name: member}
    trunk = f"{LAN_BRIDGE}-trunk"
    member = _vlan(uplink.ethernet.vlan, trunk)
    member = {**member, "connection": {**member["connection"], **of_bridge}}
    return {trunk: _trunk(port.name), LAN_BRIDGE: bridge, name: member}


def _wired(uplink: Uplink, interface: str | None) -> dict[str, Sections]:
    """A master's wired uplink, which is no bridge: its L2 sessions bridge the technician's port.

    Where nothing is said of it, a connection that somebody made on the master goes before it.
    """
    name = connection(Kind.ETHERNET, Role.MASTER)
    addresses = _addresses(uplink.ethernet, uplink.metric(Kind.ETHERNET))
    if uplink.ethernet.vlan is None:
        ethernet = _ethernet(interface)
        if uplink.ethernet == Ethernet():
            # Above NetworkManager's own of -999, below a person's, which have 0.
            ethernet = {**ethernet, "connection": {**ethernet["connection"], "autoconnect-priority": "-100"}}
        return {name: {**ethernet, **addresses}}
    trunk = f"{name}-trunk"
    return {trunk: _trunk(interface), name: {**_vlan(uplink.ethernet.vlan, trunk), **addresses}}


def _ethernet(interface: str | None) -> Sections:
    only = {"interface-name": interface} if interface is not None else {}
    return {
        "connection": {"type": "ethernet", **only},
        "ethernet": {"cloned-mac-address": "permanent"},
    }


def _trunk(interface: str | None) -> Sections:
    """What a VLAN is of: up, and without an address in the network of the untagged."""
    none = {"method": "disabled"}
    return {**_ethernet(interface), "ipv4": none, "ipv6": none}


def _vlan(number: int, trunk: str) -> Sections:
    return {
        "connection": {"type": "vlan", "interface-name": VLAN},
        "vlan": {"id": str(number), "parent": _uuid(trunk)},
    }


def _by_radio(uplink: Uplink, role: Role) -> dict[str, Sections]:
    found: dict[str, Sections] = {}
    if uplink.wifi is not None:
        found[connection(Kind.WIFI, role)] = _wifi(uplink.wifi, uplink.metric(Kind.WIFI))
    if uplink.modem is not None:
        found[connection(Kind.MODEM, role)] = _modem(uplink.modem, uplink.metric(Kind.MODEM))
    return found


def _wifi(wifi: Wifi, metric: int) -> Sections:
    security = {"key-mgmt": "wpa-psk", "psk": keyfile.escaped(wifi.psk)} if wifi.psk is not None else {}
    return {
        "connection": {"type": "wifi"},
        "wifi": {
            "mode": "infrastructure",
            "ssid": keyfile.octets(wifi.ssid),
            **({"hidden": "true"} if wifi.hidden else {}),
            "cloned-mac-address": "permanent",
            "powersave": "2",  # off: it costs a Pi's Wi-Fi packets and seconds
        },
        "wifi-security": security,
        **_addresses(Ethernet(), metric),
    }


def _modem(modem: Modem, metric: int) -> Sections:
    said = {"apn": modem.apn, "username": modem.user, "password": modem.password, "pin": modem.pin}
    return {
        "connection": {"type": "gsm"},
        "gsm": {
            **{key: keyfile.escaped(value) for key, value in said.items() if value is not None},
            **({"password-flags": _NOT_REQUIRED} if modem.password is None else {}),
        },
        **_addresses(Ethernet(), metric),
    }


def _addresses(ethernet: Ethernet, metric: int) -> Sections:
    """IPv4 as configured, else by DHCP for as long as it takes; IPv6 as the network says."""
    own: dict[str, str] = {"method": "auto", "dhcp-timeout": str(FOREVER)}
    if ethernet.address is not None:
        own = {"method": "manual", "address1": f"{ethernet.address},{ethernet.gateway}"}
    if ethernet.dns:
        own |= {"dns": "".join(f"{server};" for server in ethernet.dns), "ignore-auto-dns": "true"}
    # The resolver asks their servers in the order in which the routes prefer them.
    first = {"route-metric": str(metric), "dns-priority": str(metric)}
    return {"ipv4": {**own, **first}, "ipv6": {"method": "auto", **first}}
