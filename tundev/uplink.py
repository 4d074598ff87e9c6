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
from pathlib import Path

from tundev import config
from tundev.uplinks import country, profiles
from tundev.uplinks.profiles import WiredInterface
from tundev.uplinks.wanted import Kind, Uplink
from vtunlib.errors import ConfigError, RdvError, Timeout, UsageError
from vtunlib.network.kernel import Kernel
from vtunlib.run import run
from vtunlib.tunnel import Role

INTERFACE_SECONDS = 30.0
"""How long the wired interface may take to appear: on a Pi 1-3 it is a USB device."""

RUN = Path("/run/NetworkManager")
PROFILES = RUN / "system-connections"
SUFFIX = ".nmconnection"
HANDS_OFF = RUN / "conf.d" / "tundev-technician.conf"

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_ARPHRD_ETHER = 1


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
            for link in Kernel.dumped("links", route.get_links):
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


def desired_files(role: Role, settings: config.Config) -> dict[Path, str | None]:
    """What NetworkManager is to be told on this device; None for a file that must not be.

    Raises Timeout where an onsite's wired interface is missing and it has no other uplink.
    """
    if role is Role.ONSITE:
        found = profiles.of_onsite(settings.uplink, _port_of_bridge(settings))
        files: dict[Path, str | None] = {HANDS_OFF: None}
    else:
        master = settings.master or config.Master()
        found = profiles.of_master(settings.uplink, master.uplink)
        files = {HANDS_OFF: _on_a_master(master) or None}
    return files | {PROFILES / f"{name}{SUFFIX}": text for name, text in found.items()}


def _port_of_bridge(settings: config.Config) -> WiredInterface | None:
    try:
        return find_wired((settings.onsite or config.Onsite()).interface)
    except Timeout as missing:
        if settings.uplink.order == (Kind.ETHERNET,):
            raise
        print(f"tundev-uplink: {missing}; by radio alone, and without a bridge", file=sys.stderr)
        return None


def _on_a_master(master: config.Master) -> str:
    named = [hands_off(master.interface)] if master.interface != config.AUTO else []
    return "\n".join(named + ([uplink_is(master.uplink)] if master.uplink is not None else []))


def _write(files: dict[Path, str | None]) -> list[Path]:
    """Make each file as given (None: absent), and no other connection of ours; those that were changed."""
    former: dict[Path, str | None] = dict.fromkeys(PROFILES.glob(f"tundev-*{SUFFIX}"))
    changed = []
    for path, text in (former | files).items():
        if (path.read_text() if path.exists() else None) == text:
            continue
        changed.append(path)
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text)
    return changed


def _tell_networkmanager(connections: list[str]) -> None:
    """Have a NetworkManager that runs already take these over: at an installation, not at boot."""
    from vtunlib import units

    if not units.is_active("NetworkManager.service"):
        return
    run(["nmcli", "general", "reload"])
    run(["nmcli", "connection", "reload"])
    for name in connections:
        # 4: it has no interface now. NetworkManager takes it up when it has.
        run(["nmcli", "--wait", "0", "connection", "up", name], good=(0, 4))


def _say_country(uplink: Uplink) -> None:
    """A device whose Wi-Fi does not know its country goes on: where it may send is less then."""
    if uplink.wifi is None or uplink.wifi.country is None:
        return
    try:
        country.send_in(uplink.wifi.country)
    except RdvError as error:
        print(f"tundev-uplink: {error}", file=sys.stderr)


def main() -> int:
    """Entry of tundev-uplink@ROLE.service: its one argument is the role."""
    try:
        if len(sys.argv) != 2 or sys.argv[1] not in list(Role):
            raise UsageError("expected one argument, onsite or master")
        settings = config.load()
        files = desired_files(Role(sys.argv[1]), settings)
        _say_country(settings.uplink)
        if changed := _write(files):
            there = [path.stem for path in files if path in changed and path.suffix == SUFFIX]
            _tell_networkmanager([name for name in there if files[PROFILES / f"{name}{SUFFIX}"] is not None])
    except RdvError as error:
        print(f"tundev-uplink: {error}", file=sys.stderr)
        return error.exit_code
    return 0
