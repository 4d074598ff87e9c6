"""What the commands of `rdv-admin` do.

What a device is, is in files, so adding, listing and removing devices works
without the manager; who is online and what sessions there are, only it knows.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from rdv import accounts, contract
from rdv.contract import Method
from rdv.devices import Device, DeviceStore, check_account
from rdv.facts import short_text
from vtunlib import bus as buses
from vtunlib.errors import (
    AlreadyExists,
    ConfigError,
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


def _given_key(arguments: argparse.Namespace) -> str:
    if arguments.key_file is None:
        return accounts.parse_key(arguments.key) if arguments.key else ""
    try:
        return accounts.parse_key(arguments.key_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {arguments.key_file}: {error}") from None


async def _manager(method: Method, *values: Any) -> Any:
    bus = await buses.connect()
    try:
        return await buses.call(
            bus, contract.BUS_NAME, contract.PATH, method.interface, method.member, method.takes, *values
        )
    except NotRunning:
        raise NotRunning("the manager does not run", "'systemctl status vtun-manager' says why") from None
    finally:
        bus.disconnect()


# devices


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
    if key:
        accounts.set_key(name, key)
    print(f"{name}: added as {device.role}" if made or not known else f"{name}: is there already")
    if not accounts.key(name):
        print(f"{name} has no key yet: rdv-admin device set-key {name} --key LINE")
    _tell_configuration(arguments, known or device, host_key)


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
    lines = [
        "[rdv]",
        f"server   = {json.dumps(server)}",
        f"account  = {json.dumps(device.account)}",
        f"host_key = {json.dumps(host_key)}",
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
    await _disconnect(name, "its key was replaced")
    print(f"{name}: only that key opens it now")


async def _disconnect(name: str, reason: str) -> None:
    """End the device's session and its SSH connection, the latter also without the manager."""
    try:
        await _manager(contract.DROP_DEVICE, name, reason)
    except (NotRunning, Timeout) as error:
        _note(f"{error}; a session that it is in ends as soon as the manager runs")
    accounts.end_processes(name)


async def _devices() -> list[dict[str, Any]]:
    """All devices, with what is known of those that are online; `online` is null where nobody knows."""
    online: dict[str, dict[str, Any]] | None = None
    try:
        rows = [json.loads(row) for row in await _manager(contract.LIST_ONLINE)]
        online = {row["id"]: row for row in rows}
    except (NotRunning, Timeout) as error:
        _note(f"{error}; which devices are online is not known")
    found = []
    for device in DeviceStore().all():
        if isinstance(device, ConfigError):
            _note(str(device))
            continue
        row: dict[str, Any] = {
            "id": device.account,
            "role": str(device.role),
            "online": None if online is None else device.account in online,
            "label": device.label,
            "location": device.location,
        }
        found.append(row | (online or {}).get(device.account, {}))
    return found


async def device_list(arguments: argparse.Namespace) -> None:
    """All devices, and which are online."""
    rows = await _devices()
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not rows:
        print("no device yet; 'rdv-admin device add' makes one")
    else:
        shown = [
            [
                row["id"],
                row["role"],
                {True: "online", False: "offline", None: "?"}[row["online"]],
                *(str(row.get(key) or "-") for key in ("label", "location", "lan", "since")),
            ]
            for row in rows
        ]
        print(table(("DEVICE", "ROLE", "STATE", "LABEL", "LOCATION", "LAN", "ONLINE SINCE"), shown))


async def device_show(arguments: argparse.Namespace) -> None:
    """All that is known of a device."""
    device = DeviceStore().read(check_account(arguments.name))
    row = next(row for row in await _devices() if row["id"] == device.account)
    row["groups"], row["key"] = list(device.groups), accounts.key(device.account)
    if arguments.json:
        print(json.dumps(row, indent=2, ensure_ascii=False))
        return
    for key, value in row.items():
        shown = " ".join(value) if isinstance(value, list) else value
        print(f"{key:<10} {'-' if shown in ('', None) else printable(str(shown))}")


async def device_remove(arguments: argparse.Namespace) -> None:
    """End the device's session and connection, and let it never come back."""
    name = check_account(arguments.name)
    store = DeviceStore()
    if name not in store.names() and accounts.role(name) is None:
        raise NotFound(f"there is no device {name}", "'rdv-admin device list' shows them")
    # The key first: it must not come back between.
    accounts.remove_key(name)
    await _disconnect(name, "removed")
    accounts.remove(name)
    store.remove(name)
    print(f"{name}: removed")


# sessions


async def session_list(arguments: argparse.Namespace) -> None:
    """Who is connected to whom."""
    rows = [json.loads(row) for row in await _manager(contract.LIST_SESSIONS)]
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not rows:
        print("no session")
    else:
        keys = ("id", "master", "onsite", "mode", "state", "since", "rtt_ms", "reason")
        shown = [["-" if row.get(key) in (None, "") else str(row[key]) for key in keys] for row in rows]
        print(table(("SESSION", "MASTER", "ONSITE", "MODE", "STATE", "SINCE", "RTT MS", "REASON"), shown))


async def session_drop(arguments: argparse.Namespace) -> None:
    """End a session."""
    reason = short_text(arguments.reason, "reason")
    print(f"session {await _manager(contract.DROP_SESSION, arguments.name, reason)}: dropped")


def _note(text: str) -> None:
    print(f"rdv-admin: {text}", file=sys.stderr)
