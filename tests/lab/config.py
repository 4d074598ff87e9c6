"""What a person would put on a machine before it boots: its configuration, its address."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Interface
from pathlib import Path

from tests.lab.machine import Machine
from tests.lab.process import LabError
from tests.lab.topology import RDV_NAME

__all__ = ["RDV_NAME", "leave_alone", "put_bundle", "static_address"]

_STATIC = """\
[connection]
id=uplink
type=ethernet
interface-name={interface}

[ipv4]
method=manual
address1={address}

[ipv6]
method=disabled
"""


def static_address(machine: Machine, interface: str, address: IPv4Interface) -> None:
    """A fixed address, as NetworkManager keeps it."""
    file = machine.root / "etc/NetworkManager/system-connections/uplink.nmconnection"
    file.write_text(_STATIC.format(interface=interface, address=address), encoding="ascii")
    file.chmod(0o600)


def leave_alone(machine: Machine, *interfaces: str) -> None:
    """NetworkManager keeps its hands off the interfaces."""
    file = machine.root / "etc/NetworkManager/conf.d/adapter.conf"
    names = ";".join(f"interface-name:{interface}" for interface in interfaces)
    file.write_text(f"[keyfile]\nunmanaged-devices={names}\n", encoding="ascii")


def _group(passwd: Path) -> int:
    """gid of the account that the device's ssh runs as."""
    found = re.search(r"^tundev:[^:]*:\d+:(\d+):", passwd.read_text(encoding="utf-8"), re.M)
    if not found:
        raise LabError("the packages made no account tundev")
    return int(found[1])


def put_bundle(machine: Machine, bundle: str) -> None:
    """The configuration that `rdv-admin device add --bundle` wrote."""
    machine.copy_in(bundle, "/etc/tundev/tundev.toml", mode=0o640)
    file = machine.root / "etc/tundev/tundev.toml"
    os.chown(file, 0, _group(machine.root / "etc/passwd"))
