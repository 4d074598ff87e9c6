"""The text of vtund's configuration, for the end at the RDV and the end at a device.

vtund's parser has pitfalls: its string rule is greedy, so each line holds one
statement and no quotes; a name that is one of its keywords, or a value of
digits only, is taken for something else. Nothing goes in that is not checked
here, least of all text that came from a device.

The device named is persistent and up before vtund starts: with an `up` block
instead, the peer's first packet meets a device that is still down, and vtund
ends with EIO. Neither end needs a right or a lock file: `multi yes` is the one
setting under which vtund does not lock in /var/lock/vtund (lock.c).

SSH encrypts and authenticates the way between the two, so vtund does not
encrypt; its own password only keeps a leg from being taken for another.
"""

from __future__ import annotations

import re

from vtunlib.errors import ProtocolError
from vtunlib.tunnel import TunnelMode, VtunParameters

LEG_PORT = 5001
"""TCP port on a device's loopback whose connections are relayed to the RDV."""

KEEPALIVE = (3, 2)
"""Seconds between vtund's checks, and checks that may fail.

vtund checks every interval + 1 seconds and gives up at the second check after
`count` failed ones (linkfd.c), so 3:2 sees a dead link after 12 to 18 s. Each
end goes by its own setting; only on or off is handed over.
"""

HANDSHAKE_SECONDS = 10
"""How long either end waits for the other during connection and authentication."""

_TYPES = {TunnelMode.L2: "ether", TunnelMode.L3: "tun"}
_DEVICE = re.compile(r"[a-z][a-z0-9-]{0,14}")

# cfg_kwords.h of vtun 3.0.4; compared as whole words.
# fmt: off
_KEYWORDS = frozenset([
    "options", "default", "up", "down", "port", "srcaddr", "addr", "iface", "bindaddr", "persist", "multi",
    "timeout", "passwd", "password", "program", "speed", "compress", "encrypt", "type", "proto", "nat_hack",
    "delay_udp", "device", "ppp", "ifconfig", "ifcfg", "firewall", "route", "ip", "keepalive", "stat",
    "syslog",
])
_PARAMETERS = frozenset([
    "yes", "no", "allow", "deny", "enable", "disable", "tty", "pipe", "ether", "tun", "tcp", "udp", "client",
    "server", "lzo", "zlib", "wait", "killold", "inetd", "stand", "keep",
])
# fmt: on


def server_config(parameters: VtunParameters, mode: TunnelMode, device: str) -> str:
    """What `vtund -i` at the RDV reads for one leg; device: its tun or tap there.

    Raises ProtocolError on a name that vtund would take for a keyword.
    """
    return _config(parameters, mode, device, [f"timeout {HANDSHAKE_SECONDS};"])


def client_config(parameters: VtunParameters, mode: TunnelMode, device: str, port: int = LEG_PORT) -> str:
    """What vtund at a tunnelling device reads; port: where its connection is relayed, on loopback.

    Raises ProtocolError on a name that vtund would take for a keyword.
    """
    if not 0 < port < 65536:
        raise ProtocolError(f"{port} is no TCP port")
    return _config(parameters, mode, device, [f"port {port};", f"timeout {HANDSHAKE_SECONDS};"])


def _config(parameters: VtunParameters, mode: TunnelMode, device: str, options: list[str]) -> str:
    if parameters.tunnel_name in _KEYWORDS:
        raise ProtocolError(f"tunnel_name {parameters.tunnel_name} is a keyword of vtund")
    if not _DEVICE.fullmatch(device) or device in _PARAMETERS:
        raise ProtocolError(f"{device!r} cannot be the name of a tunnel's device")
    session = [
        # The letter keeps a secret that happens to be all digits from being read as a number.
        f"passwd s{parameters.tunnel_secret};",
        f"type {_TYPES[mode]};",
        f"device {device};",
        "proto tcp;",
        "encrypt no;",
        "compress no;",
        f"keepalive {KEEPALIVE[0]}:{KEEPALIVE[1]};",
        "stat no;",
        "persist no;",
        "multi yes;",
        f"timeout {HANDSHAKE_SECONDS};",
    ]
    sections = {"options": options, parameters.tunnel_name: session}
    lines: list[str] = []
    for name, statements in sections.items():
        lines += [f"{name} {{", *(f"  {statement}" for statement in statements), "}"]
    return "\n".join(lines) + "\n"
