"""All devices as the admin is shown them: from their files, and what is known of those that are online."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from rdv.audit.store import Seen, Store, StoreFailed
from rdv.devices import DeviceStore
from rdv.enrolment import keys
from rdv.enrolment.keys import Keys
from rdv.manager import rows
from vtunlib.errors import ConfigError, NotFound, RdvError

Row = dict[str, Any]


def devices(online: Mapping[str, Row] | None, seen: Mapping[str, Seen]) -> tuple[list[Row], list[str]]:
    """A row for each device, and why the others' files cannot be taken.

    online: the manager's rows by account; None where nobody knows, and so says `online`.
    seen: what the audit has of their coming and going.
    """
    found: list[Row] = []
    faults: list[str] = []
    for device in DeviceStore().all():
        if isinstance(device, ConfigError):
            faults.append(str(device))
            continue
        try:
            enrolment = _enrolment(keys.read(device.account))
        except RdvError as error:
            faults.append(str(error))
            enrolment = _enrolment(None)
        row: Row = {
            "id": device.account,
            "role": str(device.role),
            "online": None if online is None else device.account in online,
            "disabled": device.disabled,
            "label": device.label,
            "location": device.location,
            **enrolment,
            "last_seen": rows.iso(seen[device.account].since) if device.account in seen else None,
            "address": seen[device.account].address if device.account in seen else "",
        }
        found.append(row | (online or {}).get(device.account, {}))
    return found, faults


def _enrolment(opened: Keys | None) -> Row:
    """How far a device is with its key; None where that cannot be told."""
    if opened is None:
        return {"enrolment": None, "one_time_until": None}
    until = rows.iso(opened.one_time.until) if opened.one_time else None
    enrolment = opened.enrolment(datetime.datetime.now(datetime.UTC))
    return {"enrolment": str(enrolment), "one_time_until": until}


def state(row: Row) -> str:
    """One word for a device."""
    if row["disabled"]:
        return "disabled"
    return {True: "online", False: "offline", None: "?"}[row["online"]]


def last_seen() -> tuple[dict[str, Seen], str]:
    """What the audit has of the devices' coming and going, and why it has nothing to tell."""
    try:
        with Store(read_only=True) as store:
            return store.last_seen(), ""
    except NotFound:
        return {}, ""
    except StoreFailed as error:
        return {}, str(error)
