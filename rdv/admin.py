"""The admin's command, `rdv-admin`: devices and sessions. Safe to repeat."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rdv import accounts, contract
from rdv.contract import Method
from rdv.devices import Device, DeviceStore, check_account
from rdv.facts import short_text
from vtunlib import bus as buses
from vtunlib.errors import AlreadyExists, ConfigError, NotAllowed, NotFound, NotRunning, RdvError, UsageError
from vtunlib.table import table
from vtunlib.tunnel import Role

Work = Callable[[argparse.Namespace], Awaitable[None]]

_SERVER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?(:\d{1,5})?")
_EXAMPLES = """\
examples:
  rdv-admin device add rpi1100 --role onsite --location "Royal Champagne, boiler room" \\
            --key "ssh-ed25519 AAAA… rpi1100" --server rdv.example.com --bundle rpi1100.toml
  rdv-admin device list
  rdv-admin device remove rpi1100
  rdv-admin session list --json
  rdv-admin session drop rpi1100
"""


def main() -> int:
    """Entry of /usr/sbin/rdv-admin."""
    arguments = _parser().parse_args()
    try:
        if os.geteuid() != 0:
            raise NotAllowed("only root may do this", "use sudo")
        work: Work = arguments.work
        asyncio.run(_awaited(work, arguments))
    except RdvError as error:
        print(f"rdv-admin: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


async def _awaited(work: Work, arguments: argparse.Namespace) -> None:
    await work(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rdv-admin",
        description="The RDV server's devices and sessions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subjects = parser.add_subparsers(required=True, metavar="device|session")
    device = subjects.add_parser("device", help="the devices")
    _device_commands(device.add_subparsers(required=True, metavar="COMMAND"))
    session = subjects.add_parser("session", help="the sessions")
    _session_commands(session.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def _device_commands(devices: Any) -> None:
    add = devices.add_parser("add", help="make a device's account; the same again changes nothing")
    add.add_argument("name")
    add.add_argument("--role", required=True, choices=list(Role))
    add.add_argument("--label", default="", metavar="TEXT")
    add.add_argument("--location", default="", metavar="TEXT")
    add.add_argument("--server", default="", metavar="NAME[:PORT]", help="this server, as devices reach it")
    add.add_argument("--bundle", type=Path, metavar="FILE", help="write the device's tundev.toml there")
    _key_arguments(add)
    add.set_defaults(work=_device_add)
    set_key = devices.add_parser("set-key", help="make another key open the device's account")
    set_key.add_argument("name")
    _key_arguments(set_key)
    set_key.set_defaults(work=_device_set_key)
    listing = devices.add_parser("list", help="all devices, and which are online")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(work=_device_list)
    show = devices.add_parser("show", help="all that is known of a device")
    show.add_argument("name")
    show.add_argument("--json", action="store_true")
    show.set_defaults(work=_device_show)
    remove = devices.add_parser("remove", help="end its session and connection, delete its account")
    remove.add_argument("name")
    remove.set_defaults(work=_device_remove)


def _session_commands(sessions: Any) -> None:
    session_list = sessions.add_parser("list", help="who is connected to whom")
    session_list.add_argument("--json", action="store_true")
    session_list.set_defaults(work=_session_list)
    drop = sessions.add_parser("drop", help="end a session")
    drop.add_argument("name", metavar="SESSION|DEVICE")
    drop.add_argument("--reason", default="the RDV's admin ended it", metavar="TEXT")
    drop.set_defaults(work=_session_drop)


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


async def _device_add(arguments: argparse.Namespace) -> None:
    name, key = check_account(arguments.name), _given_key(arguments)
    if arguments.bundle and not _SERVER.fullmatch(arguments.server):
        raise UsageError(
            "--bundle needs --server", "give the name or address by which devices reach this server"
        )
    device = Device(
        name,
        Role(arguments.role),
        short_text(arguments.label, "label"),
        short_text(arguments.location, "location"),
    )
    store = DeviceStore()
    try:
        known = store.read(name)
    except NotFound:
        if accounts.exists(name):
            raise AlreadyExists(f"there is a user {name} that is no device", "choose another name") from None
        store.add(device)
        try:
            accounts.create(name, device.role)
        except RdvError:
            store.remove(name)
            raise
        print(f"{name}: added as {device.role}")
    else:
        _check_same(known, device, key)
        if not accounts.exists(name):
            accounts.create(name, known.role)
        print(f"{name}: is there already")
    if key:
        accounts.set_key(name, key)
    elif not accounts.key(name):
        print(f"{name} has no key yet: rdv-admin device set-key {name} --key LINE")
    _tell_configuration(arguments, device)


def _check_same(known: Device, device: Device, key: str) -> None:
    name = known.account
    if known.role is not device.role:
        raise AlreadyExists(f"{name} is there as {known.role}", f"'rdv-admin device remove {name}' first")
    if (device.label and device.label != known.label) or (
        device.location and device.location != known.location
    ):
        raise AlreadyExists(
            f"{name} is there with another label or location", f"edit /etc/rdv/devices.d/{name}.toml"
        )
    present = accounts.key(name)
    if key and present and key != present:
        raise AlreadyExists(f"{name} is there with another key", "'rdv-admin device set-key' replaces it")


def _tell_configuration(arguments: argparse.Namespace, device: Device) -> None:
    server = arguments.server or "NAME-OF-THIS-SERVER"
    lines = [
        "[rdv]",
        f"server   = {json.dumps(server)}",
        f"account  = {json.dumps(device.account)}",
        f"host_key = {json.dumps(accounts.host_key())}",
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


async def _device_set_key(arguments: argparse.Namespace) -> None:
    key = _given_key(arguments)
    if not key:
        raise UsageError("no key given", "give --key or --key-file")
    DeviceStore().read(check_account(arguments.name))
    accounts.set_key(arguments.name, key)
    print(f"{arguments.name}: only that key opens it now")


async def _devices() -> list[dict[str, Any]]:
    """All devices, with what is known of those that are online."""
    online: dict[str, dict[str, Any]] = {}
    try:
        rows = [json.loads(row) for row in await _manager(contract.LIST_ONLINE)]
        online = {row.get("account", row.get("id")): row for row in rows}
    except NotRunning as error:
        print(f"rdv-admin: {error}; which devices are online is not known", file=sys.stderr)
    found = []
    for device in DeviceStore().all():
        if isinstance(device, ConfigError):
            print(f"rdv-admin: {device}", file=sys.stderr)
            continue
        row = online.get(device.account, {})
        known = {"account": device.account, "role": str(device.role), "label": device.label}
        found.append(
            {**row, **known, "location": device.location or row.get("location", ""), "online": bool(row)}
        )
    return found


async def _device_list(arguments: argparse.Namespace) -> None:
    rows = await _devices()
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not rows:
        print("no device yet; 'rdv-admin device add' makes one")
    else:
        shown = [
            [
                row["account"],
                row["role"],
                "online" if row["online"] else "offline",
                *(str(row.get(key) or "-") for key in ("label", "location", "lan", "since")),
            ]
            for row in rows
        ]
        print(table(("DEVICE", "ROLE", "STATE", "LABEL", "LOCATION", "LAN", "ONLINE SINCE"), shown))


async def _device_show(arguments: argparse.Namespace) -> None:
    device = DeviceStore().read(check_account(arguments.name))
    row = next(row for row in await _devices() if row["account"] == device.account)
    row["groups"], row["key"] = list(device.groups), accounts.key(device.account)
    if arguments.json:
        print(json.dumps(row, indent=2, ensure_ascii=False))
        return
    for key, value in row.items():
        shown = " ".join(value) if isinstance(value, list) else value
        print(f"{key:<10} {'-' if shown in ('', None) else shown}")


async def _device_remove(arguments: argparse.Namespace) -> None:
    name = check_account(arguments.name)
    store = DeviceStore()
    if name not in store.names():
        raise NotFound(f"there is no device {name}", "'rdv-admin device list' shows them")
    # The key first: it must not come back between.
    (accounts.KEYS / name).unlink(missing_ok=True)
    try:
        await _manager(contract.DROP_DEVICE, name, "the device was removed by the RDV's admin")
    except NotRunning:
        print("rdv-admin: the manager does not run; its sessions are not ended", file=sys.stderr)
    accounts.remove(name)
    store.remove(name)
    print(f"{name}: removed")


# sessions


async def _session_list(arguments: argparse.Namespace) -> None:
    rows = [json.loads(row) for row in await _manager(contract.LIST_SESSIONS)]
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not rows:
        print("no session")
    else:
        keys = ("id", "master", "onsite", "mode", "state", "since", "rtt_ms", "reason")
        shown = [["-" if row.get(key) in (None, "") else str(row[key]) for key in keys] for row in rows]
        print(table(("SESSION", "MASTER", "ONSITE", "MODE", "STATE", "SINCE", "RTT MS", "REASON"), shown))


async def _session_drop(arguments: argparse.Namespace) -> None:
    reason = short_text(arguments.reason, "reason")
    print(f"session {await _manager(contract.DROP_SESSION, arguments.name, reason)}: dropped")


if __name__ == "__main__":
    sys.exit(main())
