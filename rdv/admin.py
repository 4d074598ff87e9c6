"""`rdv-admin`: the admin's command. Root only.

What a device is, is in files, so adding, listing and removing devices works
without the manager; who is online and what sessions there are, only it knows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rdv import accounts, contract, manager_link
from rdv.contract import Method
from rdv.devices import Device, DeviceStore, check_account
from rdv.facts import short_text
from vtunlib import bus as buses
from vtunlib.errors import AlreadyExists, ConfigError, NotAllowed, NotFound, RdvError, UsageError, printable
from vtunlib.table import table
from vtunlib.tunnel import Role

_EPILOG = """\
examples:
  rdv-admin device add rpi1100 --role onsite --label "Acme, Reims" --key "ssh-ed25519 AAAA… rpi1100" \\
            --server rdv.example.com --bundle rpi1100.toml
  rdv-admin device set-key rpi1100 --key-file id_ed25519.pub
  rdv-admin device list --json
  rdv-admin device remove rpi1100
  rdv-admin session list
  rdv-admin session drop rpi1100 --reason "maintenance"
"""
_PLACEHOLDER = "rdv.example.com"


def ask(method: Method, *arguments: Any) -> Any:
    """The manager's answer. Raises its errors, ManagerAway."""

    async def once() -> Any:
        bus = await buses.connect()
        try:
            return await manager_link.call(bus, method, *arguments)
        finally:
            bus.disconnect()

    return asyncio.run(once())


# devices


def device_add(options: argparse.Namespace, store: DeviceStore) -> None:
    """Account, key and file of a new device; what is there already and the same is left as it is."""
    device = Device(
        check_account(options.name),
        Role(options.role),
        short_text(options.label or "", "label"),
        short_text(options.location or "", "location"),
    )
    public = _given_key(options)
    _check_addable(device, public, options, store)
    made = accounts.create(device.account, device.role)
    if device.account not in store.names():
        store.add(device)
        made = True
    if public is not None and accounts.key(device.account) is None:
        accounts.set_key(device.account, public)
        made = True
    say(f"{device.account}: {'added' if made else 'already there'}")
    if accounts.key(device.account) is None:
        say(f"it cannot log in yet: rdv-admin device set-key {device.account} --key '…'")
    _hand_out(device, options)


def _check_addable(
    device: Device, public: accounts.PublicKey | None, options: argparse.Namespace, store: DeviceStore
) -> None:
    """Raises AlreadyExists before anything is changed."""
    present = accounts.role(device.account)
    if present not in (None, device.role):
        raise AlreadyExists(f"{device.account} is there with role {present}", "remove it first")
    if device.account in store.names():
        known = store.read(device.account)
        for name in ("role", "label", "location"):
            if getattr(options, name) not in (None, "", getattr(known, name)):
                raise AlreadyExists(
                    f"{device.account} is there with {name} {getattr(known, name)!r}",
                    f"change it in /etc/rdv/devices.d/{device.account}.toml, or remove the device first",
                )
    old = accounts.key(device.account)
    if public is not None and old not in (None, public):
        raise AlreadyExists(
            f"{device.account} is there with another key",
            f"rdv-admin device set-key {device.account} replaces it",
        )


def device_set_key(options: argparse.Namespace, store: DeviceStore) -> None:
    """Replace the key of a device; a connection with the old one ends."""
    device = store.read(check_account(options.name))
    public = _given_key(options)
    if public is None:
        raise UsageError("no key given", "--key or --key-file")
    if accounts.key(device.account) == public:
        say(f"{device.account}: already there")
        return
    accounts.set_key(device.account, public)
    _disconnect(device.account, "its key was replaced")
    say(f"{device.account}: key replaced")


def device_list(options: argparse.Namespace, store: DeviceStore) -> None:
    """All devices, and which are online."""
    rows, note = _device_rows(store)
    if options.json:
        print_json(rows)
    else:
        columns = ("id", "role", "online", "lan", "in_session", "label", "location")
        print_table(columns, [[_cell(row.get(column)) for column in columns] for row in rows])
    for line in note:
        say(line)


def device_show(options: argparse.Namespace, store: DeviceStore) -> None:
    """All that is known of a device."""
    device = store.read(check_account(options.name))
    rows, note = _device_rows(store)
    row = next(row for row in rows if row["id"] == device.account)
    public = accounts.key(device.account)
    row |= {"groups": list(device.groups), "key": str(public) if public else None}
    if options.json:
        print_json(row)
    else:
        for key, value in row.items():
            print(f"{key + ':':<12} {_cell(value)}".rstrip())
    for line in note:
        say(line)


def device_remove(options: argparse.Namespace, store: DeviceStore) -> None:
    """The device cannot come back; its session and connection end; account, key and file go."""
    account = check_account(options.name)
    known = account in store.names() or accounts.key(account) is not None
    if not known and accounts.role(account) is None:
        raise NotFound(f"there is no device {account}")
    accounts.remove_key(account)
    _disconnect(account, "removed")
    accounts.delete(account)
    store.remove(account)
    say(f"{account}: removed")


def _device_rows(store: DeviceStore) -> tuple[list[dict[str, Any]], list[str]]:
    notes: list[str] = []
    online: dict[str, dict[str, Any]] = {}
    running = True
    try:
        online = {row["id"]: row for row in map(json.loads, ask(contract.LIST_ONLINE))}
    except RdvError as error:
        running = False
        notes.append(f"who is online is not known: {error}")
    rows = []
    for device in store.all():
        if isinstance(device, ConfigError):
            notes.append(str(device))
            continue
        row = {
            "id": device.account,
            "role": str(device.role),
            "online": device.account in online if running else None,
            "label": device.label,
            "location": device.location,
        }
        rows.append(row | online.get(device.account, {}))
    return rows, notes


def _given_key(options: argparse.Namespace) -> accounts.PublicKey | None:
    if options.key is not None:
        return accounts.PublicKey.parse(options.key)
    if options.key_file is not None:
        try:
            return accounts.PublicKey.parse(Path(options.key_file).read_text())
        except OSError as error:
            raise UsageError(f"cannot read {options.key_file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{options.key_file} is no text") from None
    return None


def _disconnect(account: str, reason: str) -> None:
    """End the device's session and connection, also where the manager is away."""
    try:
        ask(contract.DROP_DEVICE, account, reason)
    except RdvError as error:
        say(f"the manager was not told: {error}")
    accounts.kill(account)


def _hand_out(device: Device, options: argparse.Namespace) -> None:
    """What the device needs of us: its tundev.toml, shown or written."""
    values = {
        "server": options.server or _PLACEHOLDER,
        "account": device.account,
        "host_key": str(accounts.host_key()),
    }
    lines = [
        "[rdv]",
        *(f"{key:<8} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()),
    ]
    if device.role is Role.ONSITE and device.location:
        lines += ["", "[onsite]", f"location = {json.dumps(device.location, ensure_ascii=False)}"]
    text = "\n".join([*lines, ""])
    if options.bundle is None:
        say("for its /etc/tundev/tundev.toml" + ("" if options.server else ", with your server's name") + ":")
        print(text, end="")
        return
    try:
        Path(options.bundle).write_text(text)
    except OSError as error:
        raise UsageError(f"cannot write {options.bundle}: {error.strerror}") from None
    say(f"{options.bundle} is its /etc/tundev/tundev.toml")


# sessions


def session_list(options: argparse.Namespace, _store: DeviceStore) -> None:
    """Who is connected to whom."""
    rows = [json.loads(row) for row in ask(contract.LIST_SESSIONS)]
    if options.json:
        print_json(rows)
    else:
        columns = ("id", "master", "onsite", "mode", "state", "since", "rtt_ms", "reason")
        print_table(columns, [[_cell(row.get(column)) for column in columns] for row in rows])


def session_drop(options: argparse.Namespace, _store: DeviceStore) -> None:
    """End a session."""
    number = ask(contract.DROP_SESSION, options.name, short_text(options.reason, "reason"))
    say(f"session {number}: dropped")


# what a person sees


def say(line: str) -> None:
    """One line for a person, beside what was asked for."""
    print(f"rdv-admin: {printable(line)}", file=sys.stderr)


def print_json(value: Any) -> None:
    """The answer for a program."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The answer for a person; nothing but its head where there is none."""
    print(table([column.upper().replace("_", " ") for column in columns], rows))


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return printable(" ".join(map(str, value))) or "-"
        case _:
            return printable(str(value)) or "-"


# the command line


def parser() -> argparse.ArgumentParser:
    """The command's grammar."""
    top = argparse.ArgumentParser(
        prog="rdv-admin",
        description="Devices and sessions of this RDV server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    nouns = top.add_subparsers(metavar="device|session", required=True)
    devices = nouns.add_parser("device", help="tunnelling devices").add_subparsers(
        metavar="VERB", required=True
    )
    sessions = nouns.add_parser("session", help="sessions").add_subparsers(metavar="VERB", required=True)

    def verb(
        group: Any, name: str, action: Callable[[argparse.Namespace, DeviceStore], None], what: str
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = group.add_parser(name, help=what, description=what)
        made.set_defaults(action=action)
        return made

    add = verb(devices, "add", device_add, "add a device; safe to repeat")
    add.add_argument("name", metavar="NAME", help="its account: a-z, 0-9 and -, as rpi1100")
    add.add_argument("--role", required=True, choices=list(Role))
    add.add_argument("--label", help="what people call it")
    add.add_argument("--location", help="where it is")
    add.add_argument("--server", metavar="NAME", help="this server as the device dials it, optional :port")
    add.add_argument("--bundle", metavar="FILE", help="write the device's tundev.toml there")
    set_key = verb(devices, "set-key", device_set_key, "replace a device's key")
    set_key.add_argument("name", metavar="NAME")
    for command in (add, set_key):
        keys = command.add_mutually_exclusive_group()
        keys.add_argument("--key", metavar="LINE", help='its public key, "ssh-ed25519 AAAA… comment"')
        keys.add_argument("--key-file", metavar="FILE", help="a file with that line")
    verb(devices, "list", device_list, "all devices").add_argument("--json", action="store_true")
    show = verb(devices, "show", device_show, "all that is known of a device")
    show.add_argument("name", metavar="NAME")
    show.add_argument("--json", action="store_true")
    verb(devices, "remove", device_remove, "remove a device; ends its session").add_argument(
        "name", metavar="NAME"
    )

    verb(sessions, "list", session_list, "who is connected to whom").add_argument(
        "--json", action="store_true"
    )
    drop = verb(sessions, "drop", session_drop, "end a session")
    drop.add_argument("name", metavar="ID|DEVICE")
    drop.add_argument("--reason", default="", help="both sides are told")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of rdv-admin; returns the exit code (vtunlib.errors)."""
    options = parser().parse_args(arguments)
    try:
        if os.geteuid() != 0:
            raise NotAllowed("rdv-admin is for root", "sudo rdv-admin …")
        options.action(options, DeviceStore())
    except RdvError as error:
        say(str(error))
        return error.exit_code
    except PermissionError as error:
        say(f"{error.filename}: {error.strerror}")
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
