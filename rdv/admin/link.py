"""What the admin's commands share: asking the manager, telling a note, having done it on record."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

from rdv import contract
from rdv.audit import store
from rdv.audit.events import Event
from rdv.audit.forms import to_json
from rdv.audit.store import StoreFailed
from rdv.contract import Method
from vtunlib import bus as buses
from vtunlib.errors import NotRunning, RdvError

_recorded: list[Event] = []


async def manager(method: Method, *values: Any, deadline: float = buses.CALL_SECONDS) -> Any:
    """What the manager answers. Raises its errors, NotRunning, Timeout."""
    bus = await buses.connect()
    try:
        return await buses.call(
            bus,
            contract.BUS_NAME,
            contract.PATH,
            method.interface,
            method.member,
            method.takes,
            *values,
            deadline=deadline,
        )
    except NotRunning:
        raise NotRunning("the manager does not run", "'systemctl status vtun-manager' says why") from None
    finally:
        bus.disconnect()


def note(text: str) -> None:
    """Say something that is no answer and no error."""
    print(f"rdv-admin: {text}", file=sys.stderr)


def record(event: Event) -> None:
    """Keep in the audit what was done. Done it is, so that it cannot be kept is no error but a note."""
    try:
        store.keep(event)
    except StoreFailed as error:
        note(f"this is not in the audit: {error}")
    _recorded.append(event)


async def tell_recorded() -> None:
    """At a command's end: let the manager, where it runs, tell who listens of what was recorded here."""
    with suppress(RdvError):
        for event in _recorded:
            await manager(contract.RECORDED, to_json(event))


def show_json(value: Any) -> None:
    """The answer for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
