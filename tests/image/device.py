"""A device of the lab that boots its role's image: known to the RDV, its bundle on its card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.image.card import Disk, card_of, image_of
from tests.image.guest import Guest
from tests.lab.host import Host, Switch
from tests.lab.lab import Lab
from tests.lab.topology import RDV_NAME
from vtunlib.tunnel import Role

DEADLINE = 600.0
"""Seconds of this machine's clock for what a Pi does in one minute: it is emulated, beside other work."""


class Device:
    """Switched off to begin with; its power is cut at the end of the block."""

    def __init__(self, lab: Lab, account: str, guest: Guest, disk: Disk) -> None:
        self.account = account
        self.guest = guest
        self.disk = disk
        self._lab = lab

    def boot(self) -> list[str]:
        """Switch it on, and wait until the RDV has it online and its boot is over; the units that failed."""
        with self._lab.rdv.start(["rdv-admin", "watch", "--json"]) as told:
            told.wait_line("now")
            self.guest.power_on()
            # An event, for it may count as online from before its power was cut.
            told.wait_line(self._is_online, deadline=DEADLINE)
        return self.guest.wait_booted(DEADLINE)

    def _is_online(self, line: str) -> bool:
        event = json.loads(line)
        return bool(event.get("kind") == "online" and event["device"] == self.account)


@contextmanager
def device(lab: Lab, role: Role, account: str, uplink: Switch, host: Host, folder: Path) -> Iterator[Device]:
    """One that is switched off; `uplink` and `host` as Guest has them. `folder` is for its card."""
    with added(lab, role, account) as bundle:
        disk = card_of(image_of(role), bundle, folder)
        with Guest(account, host, disk, folder, uplink=uplink) as guest:
            yield Device(lab, account, guest, disk)


@contextmanager
def added(lab: Lab, role: Role, account: str, server: str = RDV_NAME) -> Iterator[str]:
    """The RDV knows the device; its bundle, whose one-time key is good for one card.

    server: how the bundle names the RDV. QEMU's own network has nobody who knows its name.
    """
    file = f"/root/{account}.toml"
    location = ["--location", "cellar"] if role == Role.ONSITE else []
    add = ["rdv-admin", "device", "add", account, "--role", role, *location]
    lab.rdv.run([*add, "--server", server, "--bundle", file])
    try:
        yield lab.rdv.run(["cat", file]).out
    finally:
        lab.rdv.run(["rdv-admin", "device", "remove", account])
        lab.rdv.run(["rm", file])
