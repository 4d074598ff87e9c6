"""Where a device keeps what, and what its things are called.

Everything that an agent makes carries the prefix `tundev-`, so that it is found
and removed without memory of having been made.
"""

from __future__ import annotations

from pathlib import Path

CONFIG = Path("/etc/tundev/tundev.toml")
KEY = Path("/etc/tundev/id_ed25519")
"""The device's private key, owned by USER; the public one is beside it as .pub."""

USER = "tundev"
"""System user and group: ssh runs as this user, and the group may call the agents."""

TUNNEL_GROUP = "tundev-tunnel"
"""Group of tundev-vtund.service alone: no other process of the device may attach to the tunnel's end."""

RUN = Path("/run/tundev")
SSH = RUN / "ssh"
CONTROL = SSH / "control"
KNOWN_HOSTS = RUN / "known_hosts"
TLS = RUN / "tls.json"
"""How the relay of the way by TLS dials; readable by USER."""
ENROL_KEY = RUN / "enrol_key"
"""The one-time key, for as long as the ssh runs that enrols."""
VTUND_CONF = RUN / "vtund.conf"
VTUND_ENV = RUN / "vtund.env"

LEG = "tundev-leg"
"""The device's end of the tunnel, a tun (L3) or a tap (L2)."""
LAN_BRIDGE = "tundev-lan"
"""The onsite's uplink, where it is wired; made at boot by tundev-uplink.service."""
VLAN = "tundev-vlan"
"""The VLAN that the wired uplink is in, where tundev.toml names one; on an onsite a port of LAN_BRIDGE."""
MASTER_BRIDGE = "tundev-l2"
"""The master's bridge of technician's port and tunnel during an L2 session."""

LEG_SOCKET = "tundev-leg.socket"
LEG_SERVICES = "tundev-leg@*.service"
VTUND_SERVICE = "tundev-vtund.service"
DHCP_SERVICES = "tundev-dhcp@*.service"

NFT_TABLE = "tundev"
"""The agent's: what is forwarded."""
PORT_NFT_TABLE = "tundev-port"
"""The watcher's: what the laptop may ask this device."""
ROUTING_TABLE = 7001
"""What comes in on the technician's port is looked up here."""


def dhcp_service(interface: str) -> str:
    """The unit that serves DHCP on `interface`."""
    return f"tundev-dhcp@{interface}.service"


def dnsmasq_conf(interface: str) -> Path:
    """The configuration that `dhcp_service(interface)` reads."""
    return RUN / f"dnsmasq-{interface}.conf"
