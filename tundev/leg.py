"""This device's end of a session's leg: vtund's files and units, and taking them away.

vtund dials the loopback port of tundev-leg.socket, and each connection there
becomes a channel of the device's SSH connection (tundev-leg@.service).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tundev import paths
from vtunlib import units
from vtunlib.errors import MissingProgram
from vtunlib.network import Item, Sysctl, Tun
from vtunlib.tunnel import TunnelMode, VtunParameters
from vtunlib.vtund_conf import client_config

WORD_SECONDS = 2.0
"""After the carrier was lost, how long the RDV may take to say why: it knows, this end does not."""


def items(parameters: VtunParameters, mode: TunnelMode) -> list[Item]:
    """The tunnel's device, without addresses; IPv6 is off, so that it says nothing by itself."""
    return [
        Tun(paths.LEG, mode, parameters.tunnel_mtu, paths.TUNNEL_GROUP),
        Sysctl(f"net/ipv6/conf/{paths.LEG}/disable_ipv6", "1"),
    ]


def forwarding(*others: str) -> list[Item]:
    """Forwarding between the tunnel and the interfaces `others`; the device's global switch stays as it is.

    The kernel asks the interface that a packet came in on (ip-sysctl, conf/interface/forwarding). The
    tunnel's flag goes with the tunnel; that of another, left by a killed agent, lets nothing pass the
    firewall, and the end of the next session takes it back.
    """
    return [Sysctl(f"net/ipv4/conf/{link}/forwarding", "1", otherwise="0") for link in (paths.LEG, *others)]


def check_vtund() -> None:
    """Raises MissingProgram where vtund is not installed."""
    if shutil.which("vtund", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/bin") is None:
        raise MissingProgram("vtund is not installed on this device", "apt install vtun")


def start(parameters: VtunParameters, mode: TunnelMode) -> None:
    """Start the leg's listener and vtund; that it is up is told by the carrier. Raises RdvError."""
    check_vtund()
    _write(paths.VTUND_CONF, client_config(parameters, mode, paths.LEG))
    _write(paths.VTUND_ENV, f"TUNNEL_NAME={parameters.tunnel_name}\n")
    units.start(paths.VTUND_SERVICE)


def stop() -> None:
    """Stop all of it, also what a killed agent left; what is gone already is no error. Raises RdvError."""
    for unit in (paths.LEG_SOCKET, paths.VTUND_SERVICE, *units.units_named(paths.LEG_SERVICES)):
        units.stop(unit)
    for file in (paths.VTUND_CONF, paths.VTUND_ENV):
        file.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """A file for root alone: it holds the leg's secret."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
