"""`rdv-admin device`: the words for devices, and showing what they are.

What a device is, is in files, so all of it works without the manager; only which
devices are online, nobody else knows.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from rdv import contract
from rdv.admin import adding, cutting_off, inventory
from rdv.admin.link import manager, note, show_json
from rdv.admin.shown import cell, fitted, width
from rdv.devices import DeviceStore, check_account
from rdv.enrolment import keys
from vtunlib.errors import NotRunning, Timeout, printable
from vtunlib.table import table

_TITLES = (
    *("DEVICE", "ROLE", "STATE", "KEY", "SINCE", "FROM"),
    *("LAN", "UPLINK", "VERSION", "LABEL", "LOCATION"),
)


def add_parser(subjects: Any) -> None:
    """The words of `rdv-admin device`."""
    devices = subjects.add_parser("device", help="the devices").add_subparsers(
        required=True, metavar="COMMAND"
    )
    adding.add_parser(devices)
    listing = devices.add_parser("list", help="all devices, and which are online")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(work=device_list)
    show = devices.add_parser("show", help="all that is known of a device")
    show.add_argument("name")
    show.add_argument("--json", action="store_true")
    show.set_defaults(work=device_show)
    cutting_off.add_parser(devices)


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
                cell(row, "enrolment"),
                cell(row, "since" if row["online"] else "last_seen"),
                *(cell(row, key) for key in ("address", "lan", "uplink", "version", "label", "location")),
            ]
            for row in rows
        ]
        print(fitted(table(_TITLES, shown), width()))


async def device_show(arguments: argparse.Namespace) -> None:
    """All that is known of a device."""
    device = DeviceStore().read(check_account(arguments.name))
    row = next(row for row in await _devices() if row["id"] == device.account)
    row["groups"], row["key"] = list(device.groups), keys.read(device.account).own
    if arguments.json:
        show_json(row)
        return
    for key, value in row.items():
        print(f"{key:<14} {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(value) if isinstance(value, list) else str(value or "")
    return printable(text) or "-"
