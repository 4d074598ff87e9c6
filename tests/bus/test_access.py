"""What the manager tells and refuses by its rules, and how it takes a change of them."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from rdv import contract
from rdv.contract import Fact
from rdv.manager.bus_service import BusService
from tests.bus.test_manager import ONLINE, Client, told, with_manager
from vtunlib.errors import NotAllowed, NotOnline

pytestmark = pytest.mark.usefixtures("system_bus")


async def listed(client: Client, master: str) -> list[str]:
    return [json.loads(row)["id"] for row in await client.ask(contract.LIST_ONSITES, master)]


async def changed_from(client: Client, fingerprint: str) -> None:
    """Until the manager has other rules than those of the fingerprint, and has said so."""
    while json.loads(await client.ask(contract.SHOW_ACCESS))["fingerprint"] == fingerprint:
        await client.signal("Changed")


def closed_now() -> str:
    """Hours that are over, and will not come again today or tomorrow."""
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    return days[(datetime.datetime.now().astimezone().weekday() + 3) % 7]


def test_each_way_of_not_being_allowed_says_what_would_do(tmp_path: Path) -> None:
    acl = tmp_path / "acl.toml"
    acl.write_text(
        '[[rule]]\nmaster = "m1"\nonsite = "o1"\nmode = "L3"\nrequire_reason = true\n'
        f'[[rule]]\nmaster = "m1"\nonsite = "group:plant"\nhours = "{closed_now()}"\n'
    )

    async def body(_service: BusService, client: Client) -> None:
        await client.attach("o1", told(ONLINE))
        master = await client.attach("m1")

        async def refused(onsite: str, reason: str, kind: type[Exception] = NotAllowed) -> str:
            with pytest.raises(kind) as raised:
                await client.ask(contract.CONNECT, master, onsite, reason)
            return str(raised.value)

        assert await refused("o1", " ") == (
            'm1 may not reach o1 without a reason; give one, as in --reason "ticket 4711"'
        )
        # Allowed at another hour: whether it is online may be known, and it is not.
        assert "not online" in await refused("o2", "", NotOnline)
        await client.attach("o2", told(ONLINE))
        assert f"at this hour; it may {closed_now()}" in await refused("o2", "")
        assert await listed(client, master) == ["o1"]
        await client.ask(contract.SET_FACT, master, Fact.MODE, "L2")
        assert await refused("o1", "ticket") == "m1 may not reach o1 in mode L2; it may in L3"

    with_manager(acl, body)


def test_a_change_of_the_file_is_taken_and_the_masters_are_told(tmp_path: Path) -> None:
    acl = tmp_path / "acl.toml"
    acl.write_text('[[rule]]\nmaster = "m1"\nonsite = "o1"\n')

    async def body(_service: BusService, client: Client) -> None:
        await client.attach("o1")
        await client.attach("o2")
        master = await client.attach("m1")
        before = json.loads(await client.ask(contract.SHOW_ACCESS))
        new = acl.with_name("new")
        new.write_text('[[rule]]\nmaster = "*"\nonsite = "group:plant"\n')
        new.rename(acl)  # as an editor does
        await changed_from(client, before["fingerprint"])
        assert await listed(client, master) == ["o2"]

    with_manager(acl, body)


def test_a_file_with_a_fault_changes_nothing_and_is_warned_of_until_it_is_mended(tmp_path: Path) -> None:
    acl = tmp_path / "acl.toml"

    async def body(service: BusService, client: Client) -> None:
        await client.attach("o1")
        master = await client.attach("m1")
        good = acl.read_text()
        for fault in ('[[rule]]\nmaster = "*"\nonsit = "*"\n', "[[rule\n", ""):
            acl.write_text(fault)
            service.look_again()
            shown = json.loads(await client.ask(contract.SHOW_ACCESS))
            assert shown["fault"].endswith("the rules of before stay in force")
            assert len(shown["rules"]) == 1
            assert [warning.key for warning in service.warnings] == ["acl"]
            assert await listed(client, master) == ["o1"]
        acl.write_text(good)
        service.look_again()
        assert json.loads(await client.ask(contract.SHOW_ACCESS))["fault"] == ""
        assert list(service.warnings) == []

    with_manager(acl, body)


def test_without_a_file_nobody_may_reach_anybody(tmp_path: Path) -> None:
    acl = tmp_path / "acl.toml"

    async def body(service: BusService, client: Client) -> None:
        await client.attach("o1")
        master = await client.attach("m1")
        acl.unlink()
        service.look_again()
        assert await listed(client, master) == []
        assert "nobody may reach anybody" in next(iter(service.warnings)).text

    with_manager(acl, body)
