"""What the admin's commands share: asking the manager, telling a note."""

from __future__ import annotations

import json
import sys
from typing import Any

from rdv import contract
from rdv.contract import Method
from vtunlib import bus as buses
from vtunlib.errors import NotRunning


async def manager(method: Method, *values: Any) -> Any:
    """What the manager answers. Raises its errors, NotRunning, Timeout."""
    bus = await buses.connect()
    try:
        return await buses.call(
            bus, contract.BUS_NAME, contract.PATH, method.interface, method.member, method.takes, *values
        )
    except NotRunning:
        raise NotRunning("the manager does not run", "'systemctl status vtun-manager' says why") from None
    finally:
        bus.disconnect()


def note(text: str) -> None:
    """Say something that is no answer and no error."""
    print(f"rdv-admin: {text}", file=sys.stderr)


def show_json(value: Any) -> None:
    """The answer for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
