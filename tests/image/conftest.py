"""Both roles' images, each booted once for all tests that only look, as devices of the lab."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.image.desk import Desk, desk_of
from tests.image.device import Device, device
from tests.lab.lab import Lab
from vtunlib.tunnel import Role

ACCOUNT = "rpi1300"


@dataclass(frozen=True)
class Devices:
    """failed: units that failed in the first boot, by role."""

    onsite: Device
    desk: Desk
    failed: dict[Role, list[str]]


@pytest.fixture(scope="package")
def devices(whole_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devices]:
    """An onsite on the first customer's LAN, and a desk: their first boots, side by side, are over."""
    with ExitStack() as undo:
        folders = {role: tmp_path_factory.mktemp(role) for role in Role}
        lan = whole_lab.switches[whole_lab.plan.sites[0].lan.name]
        onsite = undo.enter_context(device(whole_lab, Role.ONSITE, ACCOUNT, lan, lan, folders[Role.ONSITE]))
        desk = undo.enter_context(desk_of(whole_lab, folders[Role.MASTER]))
        with ThreadPoolExecutor() as pool:
            boots = {Role.ONSITE: pool.submit(onsite.boot), Role.MASTER: pool.submit(desk.device.boot)}
        yield Devices(onsite, desk, {role: boot.result() for role, boot in boots.items()})
