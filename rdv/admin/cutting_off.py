"""`rdv-admin device disable|enable|remove`: a device that must be gone now, for a while or for ever.

In this order, so that none that dials at the same moment gets through:

1. Its file says so. From then on the manager takes no connection of it, also
   where its login was accepted a moment before.
2. Its key no longer opens the account: sshd refuses the next login.
3. The manager drops it: its session ends, and with it its leg's socket.
4. What still runs as its account ends: its SSH connection, without the manager too.

A login that sshd accepted before step 2 and that came to be a process after step
4 finds the manager refusing it and no leg to dial, and ends by that.
"""

from __future__ import annotations

import argparse
from typing import Any

from rdv import accounts, contract
from rdv.admin.link import manager, note, record
from rdv.audit.events import Event, Kind
from rdv.devices import DeviceStore, check_account
from rdv.enrolment import keys
from vtunlib.errors import ConfigError, NotFound, NotRunning, Timeout

_DROP_SECONDS = 0.5
"""A manager that is stuck does not keep a device connected: what runs as its account ends all the same."""


def add_parser(devices: Any) -> None:
    """The words of `rdv-admin device` that cut a device off."""
    disable = devices.add_parser("disable", help="end its session and connection, and let it not come back")
    disable.set_defaults(work=device_disable)
    enable = devices.add_parser("enable", help="let a disabled device come back")
    enable.set_defaults(work=device_enable)
    remove = devices.add_parser("remove", help="end its session and connection, delete its account")
    remove.set_defaults(work=device_remove)
    for parser in (disable, enable, remove):
        parser.add_argument("name")


async def device_disable(arguments: argparse.Namespace) -> None:
    """End the device's session and connection, and let it not come back until it is enabled."""
    name = _known(arguments.name)
    changed, damaged = _say_disabled(name)
    keys.shut(name)
    await disconnect(name, "disabled")
    if changed:
        record(Event(Kind.DEVICE_DISABLED, name))
    if damaged is not None:
        raise damaged  # the manager refuses it because of that; when the file is mended it has to be said
    print(f"{name}: disabled" if changed else f"{name}: is disabled already")


async def device_enable(arguments: argparse.Namespace) -> None:
    """Let the device come back, with the key that it had."""
    name = _known(arguments.name)
    changed = DeviceStore().set_disabled(name, False)
    keys.reopen(name)
    if changed:
        record(Event(Kind.DEVICE_ENABLED, name))
    print(f"{name}: enabled" if changed else f"{name}: is enabled already")


async def device_remove(arguments: argparse.Namespace) -> None:
    """End the device's session and connection, and let it never come back."""
    name = _known(arguments.name)
    _say_disabled(name)
    keys.remove(name)
    await disconnect(name, "removed")
    accounts.remove(name)
    DeviceStore().remove(name)
    record(Event(Kind.DEVICE_REMOVED, name))
    print(f"{name}: removed")


async def disconnect(name: str, reason: str) -> None:
    """End the device's session and its SSH connection, the latter also without the manager."""
    try:
        await manager(contract.DROP_DEVICE, name, reason, deadline=_DROP_SECONDS)
    except (NotRunning, Timeout) as error:
        note(f"{error}; a session that it is in ends as soon as the manager runs")
    accounts.end_processes(name)


def _known(name: str) -> str:
    """The name, if there is anything of such a device. Raises UsageError, NotFound."""
    if check_account(name) not in DeviceStore().names() and accounts.role(name) is None:
        raise NotFound(f"there is no device {name}", "'rdv-admin device list' shows them")
    return name


def _say_disabled(name: str) -> tuple[bool, ConfigError | None]:
    """Whether that changed the device's file, and why it could not: the manager refuses it then anyway."""
    try:
        return DeviceStore().set_disabled(name, True), None
    except ConfigError as error:
        return False, error
    except NotFound:
        return False, None  # an account without a file
