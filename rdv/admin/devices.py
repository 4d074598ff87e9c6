"""`rdv-admin device`: adding and listing devices, and whose key opens which.

What a device is, is in files, so all of it works without the manager; only which
devices are online, nobody else knows.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from rdv import accounts, contract
from rdv.admin import cutting_off, inventory
from rdv.admin.cutting_off import disconnect
from rdv.admin.link import manager, note, record, show_json
from rdv.admin.shown import cell, fitted, width
from rdv.audit.events import Event, Kind
from rdv.devices import Device, DeviceStore, check_account
from rdv.facts import short_text
from rdv.tls import bundle
from vtunlib.errors import (
    AlreadyExists,
    NotFound,
    NotRunning,
    RdvError,
    Timeout,
    UsageError,
    printable,
)
from vtunlib.table import table
from vtunlib.tunnel import Role

_SERVER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?(:\d{1,5})?")


def add_parser(subjects: Any) -> None:
    """The words of `rdv-admin device`."""
    devices = subjects.add_parser("device", help="the devices").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add = devices.add_parser("add", help="make a device's account; the same again changes nothing")
    add.add_argument("name")
    add.add_argument("--role", required=True, choices=list(Role))
    add.add_argument("--label", default="", metavar="TEXT")
    add.add_argument("--location", default="", metavar="TEXT")
    add.add_argument("--server", default="", metavar="NAME[:PORT]", help="this server, as devices reach it")
    add.add_argument("--bundle", type=Path, metavar="FILE", help="write the device's tundev.toml there")
    _key_arguments(add)
    add.set_defaults(work=device_add)
    set_key = devices.add_parser("set-key", help="make another key open the device's account")
    set_key.add_argument("name")
    _key_arguments(set_key)
    set_key.set_defaults(work=device_set_key)
    listing = devices.add_parser("list", help="all devices, and which are online")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(work=device_list)
    show = devices.add_parser("show", help="all that is known of a device")
    show.add_argument("name")
    show.add_argument("--json", action="store_true")
    show.set_defaults(work=device_show)
    cutting_off.add_parser(devices)


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--key", metavar="LINE", help="what 'tundev-status --key' prints on the device")
    group.add_argument("--key-file", type=Path, metavar="FILE")


def _given_key(arguments: argparse.Namespace) -> str:
    if arguments.key_file is None:
        return accounts.parse_key(arguments.key) if arguments.key else ""
    try:
        return accounts.parse_key(arguments.key_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {arguments.key_file}: {error}") from None


async def device_add(arguments: argparse.Namespace) -> None:
    """Make the account, its key and its file; the same again changes nothing."""
    name, key = check_account(arguments.name), _given_key(arguments)
    if arguments.bundle and not _SERVER.fullmatch(arguments.server):
        raise UsageError(
            "--bundle needs --server", "give the name or address by which devices reach this server"
        )
    if arguments.server and not _SERVER.fullmatch(arguments.server):
        raise UsageError(f"{arguments.server!r} is no server", "expected a name or address, optional :port")
    host_key = accounts.host_key()
    device = Device(
        name,
        Role(arguments.role),
        short_text(arguments.label, "label"),
        short_text(arguments.location, "location"),
    )
    store = DeviceStore()
    # All that can refuse it comes before the first change.
    there = accounts.role(name)
    if there not in (None, device.role):
        raise _differs(name, f"as {there}")
    try:
        known: Device | None = store.read(name)
    except NotFound:
        known = None
    _check_same(known or device, device, key)
    # An account without its file is refused by the manager, so the account comes first.
    made = accounts.create(name, device.role)
    if known is None:
        store.add(device)
        record(Event(Kind.DEVICE_ADDED, name, more={"role": str(device.role)}))
    if key and key != accounts.key(name):
        accounts.set_key(name, key)
        record(_key_set(name, key))
    print(f"{name}: added as {device.role}" if made or not known else f"{name}: is there already")
    if not accounts.key(name):
        print(f"{name} has no key yet: rdv-admin device set-key {name} --key LINE")
    _tell_configuration(arguments, known or device, host_key)


def _key_set(name: str, key: str) -> Event:
    return Event(Kind.KEY_SET, name, more={"fingerprint": accounts.fingerprint(key)})


def _differs(name: str, how: str) -> AlreadyExists:
    return AlreadyExists(f"{name} is there {how}", f"'rdv-admin device remove {name}' first, or another name")


def _check_same(known: Device, device: Device, key: str) -> None:
    name = known.account
    if known.role is not device.role:
        raise _differs(name, f"as {known.role}")
    if (device.label and device.label != known.label) or (
        device.location and device.location != known.location
    ):
        raise AlreadyExists(
            f"{name} is there with another label or location", f"edit /etc/rdv/devices.d/{name}.toml"
        )
    present = accounts.key(name)
    if key and present and key != present:
        raise AlreadyExists(f"{name} is there with another key", "'rdv-admin device set-key' replaces it")


def _tell_configuration(arguments: argparse.Namespace, device: Device, host_key: str) -> None:
    server = arguments.server or "NAME-OF-THIS-SERVER"
    if arguments.server and (warning := bundle.prepare(server)):
        note(f"warning: {warning}")
    lines = [
        "[rdv]",
        f"server   = {json.dumps(server)}",
        f"account  = {json.dumps(device.account)}",
        f"host_key = {json.dumps(host_key)}",
        *bundle.lines(),
        "",
    ]
    if device.role is Role.ONSITE:
        lines += ["[onsite]", f"location = {json.dumps(device.location, ensure_ascii=False)}", ""]
    else:
        lines += ["[master]", 'extremity_subnet = "192.168.38.224/29"', ""]
    text = "\n".join(lines)
    if arguments.bundle is None:
        print("its /etc/tundev/tundev.toml:\n")
        print(text)
        return
    try:
        arguments.bundle.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RdvError(f"cannot write {arguments.bundle}: {error.strerror}") from None
    print(f"its configuration is in {arguments.bundle}")


async def device_set_key(arguments: argparse.Namespace) -> None:
    """Make another key open the account; a connection with the old one ends."""
    key = _given_key(arguments)
    if not key:
        raise UsageError("no key given", "give --key or --key-file")
    name = DeviceStore().read(check_account(arguments.name)).account
    if accounts.key(name) == key:
        print(f"{name}: that key opens it already")
        return
    accounts.set_key(name, key)
    record(_key_set(name, key))
    await disconnect(name, "its key was replaced")
    print(f"{name}: only that key opens it now")


async def _devices() -> list[dict[str, Any]]:
    """All devices, with what is known of those that are online; `online` is null where nobody knows."""
    online: dict[str, dict[str, Any]] | None = None
    try:
        rows = [json.loads(row) for row in await manager(contract.LIST_ONLINE)]
        online = {row["id"]: row for row in rows}
    except (NotRunning, Timeout) as error:
        note(f"{error}; which devices are online is not known")
    seen, fault = inventory.last_seen()
    found, faults = inventory.devices(online, seen)
    for text in [*faults, *([fault] if fault else [])]:
        note(text)
    return found


async def device_list(arguments: argparse.Namespace) -> None:
    """All devices, and which are online."""
    rows = await _devices()
    if arguments.json:
        show_json(rows)
    elif not rows:
        print("no device yet; 'rdv-admin device add' makes one")
    else:
        shown = [
            [
                row["id"],
                row["role"],
                inventory.state(row),
                cell(row, "since" if row["online"] else "last_seen"),
                *(cell(row, key) for key in ("lan", "version", "label", "location")),
            ]
            for row in rows
        ]
        titles = ("DEVICE", "ROLE", "STATE", "SINCE", "LAN", "VERSION", "LABEL", "LOCATION")
        print(fitted(table(titles, shown), width()))


async def device_show(arguments: argparse.Namespace) -> None:
    """All that is known of a device."""
    device = DeviceStore().read(check_account(arguments.name))
    row = next(row for row in await _devices() if row["id"] == device.account)
    row["groups"], row["key"] = list(device.groups), accounts.key(device.account)
    if arguments.json:
        show_json(row)
        return
    for key, value in row.items():
        print(f"{key:<10} {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(value) if isinstance(value, list) else str(value or "")
    return printable(text) or "-"
