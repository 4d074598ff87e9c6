"""Tells NetworkManager, before it starts, how this device's interfaces are used.

On an onsite the wired uplink is a bridge from boot on, `tundev-lan`, so that an
L2 session only adds a port and the device's own connection never drops. On a
master a udev rule of the package keeps NetworkManager off USB-Ethernet adapters,
for one of them is the technician's; where the configuration names another port,
or an adapter as the uplink, NetworkManager is told so. All this is files in its
own format (nm-settings-keyfile(5), NetworkManager.conf(5)) below /run, so a boot
without them is as before.

This module never touches an interface itself.
"""

from __future__ import annotations

import re
import select
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from tundev import config
from tundev.paths import LAN_BRIDGE as BRIDGE
from vtunlib.errors import ConfigError, RdvError, Timeout, UsageError
from vtunlib.run import run
from vtunlib.tunnel import Role

INTERFACE_SECONDS = 30.0
"""How long the wired interface may take to appear: on a Pi 1-3 it is a USB device."""

RUN = Path("/run/NetworkManager")
PROFILES = RUN / "system-connections"
HANDS_OFF = RUN / "conf.d" / "tundev-technician.conf"

_NAMES = uuid.UUID("5b0c4d5e-7c39-4c8b-9a3e-3f6f7c1d2b10")
"""Namespace of the profiles' UUIDs: the same name gives the same profile on every boot."""

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_ARPHRD_ETHER = 1


@dataclass(frozen=True)
class WiredInterface:
    """An Ethernet interface that can be the port of a bridge; mac as the kernel prints it."""

    name: str
    mac: str


def bridge_profiles(port: WiredInterface) -> dict[str, str]:
    """The keyfiles of the bridge and of its port, by file name.

    The bridge has the port's MAC address: left to itself it takes the lowest of
    its ports' and would change it, and its lease, when the tap joins. It speaks
    no spanning tree: a customer's switch may close a port that does.
    """
    _check(port.name)
    bridge = f"""\
[connection]
id={BRIDGE}
uuid={uuid.uuid5(_NAMES, BRIDGE)}
type=bridge
interface-name={BRIDGE}
autoconnect-priority=100
autoconnect-retries=0
autoconnect-slaves=1

[ethernet]
cloned-mac-address={port.mac}

[bridge]
stp=false
multicast-snooping=false

[ipv4]
method=auto
dhcp-timeout=2147483647

[ipv6]
method=auto
"""
    member = f"""\
[connection]
id={BRIDGE}-port
uuid={uuid.uuid5(_NAMES, BRIDGE + "-port")}
type=ethernet
interface-name={port.name}
master={BRIDGE}
slave-type=bridge
autoconnect-priority=100
autoconnect-retries=0
"""
    return {f"{BRIDGE}.nmconnection": bridge, f"{BRIDGE}-port.nmconnection": member}


def hands_off(interface: str) -> str:
    """The drop-in that keeps NetworkManager off the technician's interface, and off it alone.

    With a port that is named, USB adapters are NetworkManager's as all Ethernet is:
    `managed` in its configuration is stronger than the udev rule.
    """
    _check(interface)
    return f"""\
[keyfile]
unmanaged-devices+=interface-name:{interface}

[device-tundev-others]
match-device=interface-name:e*,except:interface-name:{interface}
managed=1
"""


def uplink_is(interface: str) -> str:
    """The drop-in that gives NetworkManager the uplink, though it may be a USB adapter."""
    _check(interface)
    return f"[device-tundev-uplink]\nmatch-device=interface-name:{interface}\nmanaged=1\n"


def _check(interface: str) -> None:
    if not _INTERFACE.fullmatch(interface):
        raise ConfigError(f"interface {interface!r} is no name of a network interface")


def find_wired(wanted: str, deadline: float = INTERFACE_SECONDS) -> WiredInterface | None:
    """The wired interface named `wanted`, or for "auto" the first one; waits up to `deadline` seconds.

    None where the interface named is there but cannot be bridged (Wi-Fi, modem).
    Raises Timeout where there is none in time.
    """
    from pyroute2 import IPRoute
    from pyroute2.netlink.rtnl import RTMGRP_LINK

    until = time.monotonic() + deadline
    with IPRoute() as events, IPRoute() as route:
        events.bind(groups=RTMGRP_LINK)
        while True:
            for link in route.get_links():
                name = link.get_attr("IFLA_IFNAME")
                if wanted in (name, config.AUTO):
                    if _is_wired(link):
                        return WiredInterface(name, _address(link))
                    if wanted == name:
                        return None
            left = until - time.monotonic()
            if left <= 0:
                raise Timeout(
                    f"no wired interface ({wanted}) after {deadline:.0f} s", "is the cable's port there?"
                )
            if select.select([events.fileno()], [], [], left)[0]:
                events.get()


def _is_wired(link: object) -> bool:
    """Whether a link message is of an Ethernet device: hardware, or a container's veth."""
    kind = None
    info = link.get_attr("IFLA_LINKINFO")  # type: ignore[attr-defined]
    if info is not None:
        kind = info.get_attr("IFLA_INFO_KIND")
    name = link.get_attr("IFLA_IFNAME")  # type: ignore[attr-defined]
    wireless = Path("/sys/class/net", name, "phy80211").exists()
    return link["ifi_type"] == _ARPHRD_ETHER and kind in (None, "veth") and not wireless  # type: ignore[index]


def _address(link: object) -> str:
    """The permanent MAC address where the kernel tells one, else the present one."""
    permanent = link.get_attr("IFLA_PERM_ADDRESS")  # type: ignore[attr-defined]
    return str(permanent or link.get_attr("IFLA_ADDRESS"))  # type: ignore[attr-defined]


def _write(files: dict[Path, str | None]) -> bool:
    """Make each file as given (None: absent). True where anything was changed."""
    changed = False
    for path, text in files.items():
        if text is None:
            if path.exists():
                path.unlink()
                changed = True
        elif not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text)
            changed = True
    return changed


def desired_files(role: Role, settings: config.Config) -> dict[Path, str | None]:
    """What NetworkManager is to be told on this device; None for a file that must not be."""
    files: dict[Path, str | None] = {
        HANDS_OFF: None,
        PROFILES / f"{BRIDGE}.nmconnection": None,
        PROFILES / f"{BRIDGE}-port.nmconnection": None,
    }
    if role is Role.ONSITE:
        port = find_wired((settings.onsite or config.Onsite()).interface)
        if port is not None:
            files |= {PROFILES / name: text for name, text in bridge_profiles(port).items()}
    else:
        files[HANDS_OFF] = _on_a_master(settings.master or config.Master()) or None
    return files


def _on_a_master(master: config.Master) -> str:
    named = [hands_off(master.interface)] if master.interface != config.AUTO else []
    return "\n".join(named + ([uplink_is(master.uplink)] if master.uplink is not None else []))


def _tell_networkmanager(bridged: bool) -> None:
    """Take the files over in a NetworkManager that runs already: at an installation, not at boot."""
    from vtunlib import units

    if not units.is_active("NetworkManager.service"):
        return
    run(["nmcli", "general", "reload"])
    run(["nmcli", "connection", "reload"])
    if bridged:
        run(["nmcli", "--wait", "0", "connection", "up", BRIDGE])


def main() -> int:
    """Entry of tundev-uplink@ROLE.service: its one argument is the role."""
    try:
        if len(sys.argv) != 2 or sys.argv[1] not in list(Role):
            raise UsageError("expected one argument, onsite or master")
        files = desired_files(Role(sys.argv[1]), config.load())
        if _write(files):
            _tell_networkmanager(files[PROFILES / f"{BRIDGE}.nmconnection"] is not None)
    except RdvError as error:
        print(f"tundev-uplink: {error}", file=sys.stderr)
        return error.exit_code
    return 0
