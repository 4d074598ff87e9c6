"""What is told on the bus of the uplinks: between an agent and their service, and by NetworkManager."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dbus_fast import Message, PropertyAccess
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface, dbus_property

from tundev.contract import GET_UPLINKS, PICK, UPLINK_WATCH, UPLINKS_CHANGED, UplinkKey
from tundev.uplinks import networkmanager
from tundev.uplinks.client import UplinksClient
from tundev.uplinks.networkmanager import NetworkManager
from tundev.uplinks.pick import Pick
from tundev.uplinks.standing import Standing
from vtunlib import bus as buses
from vtunlib.tunnel import UplinkType

pytestmark = pytest.mark.usefixtures("system_bus")

Row = dict[str, Any]


def row(link: str, kind: UplinkType, standing: Standing, reason: str = "") -> Row:
    values = (link, str(kind), "192.0.2.2/24", str(standing), reason or None)
    keys = (UplinkKey.LINK, UplinkKey.TYPE, UplinkKey.ADDRESS, UplinkKey.STANDING, UplinkKey.REASON)
    return dict(zip(keys, values, strict=True))


WIRE = row("tundev-lan", UplinkType.LAN, Standing.IN_USE)
SPARE = row("wlan0", UplinkType.WLAN, Standing.SPARE)


class FakeService(ServiceInterface):
    """Answers with `rows`, and keeps who was picked."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.picked: list[str] = []
        self.asked = asyncio.Event()
        super().__init__(UPLINK_WATCH.interface)

    @buses.answers(GET_UPLINKS)
    @buses.annotated("aa{sv}")
    def get_uplinks(self):  # type: ignore[no-untyped-def]
        return [buses.variants(one) for one in self.rows]

    @buses.answers(PICK)
    @buses.annotated("", kind="s")
    def pick(self, kind):  # type: ignore[no-untyped-def]
        self.picked.append(kind)
        self.asked.set()


@asynccontextmanager
async def service(*rows: Row) -> AsyncIterator[tuple[FakeService, MessageBus]]:
    bus = await buses.connect()
    fake = FakeService(list(rows))
    bus.export(UPLINK_WATCH.path, fake)
    await buses.own(bus, UPLINK_WATCH.name)
    try:
        yield fake, bus
    finally:
        bus.disconnect()


class Agent:
    """The client in an agent, and when something has changed for it."""

    def __init__(self, bus: MessageBus, picked: UplinkType | None = None) -> None:
        self.changed = asyncio.Event()
        self.client = UplinksClient(bus, self.changed.set, picked)

    async def knows(self, *lines: str) -> None:
        async with asyncio.timeout(10):
            while (self.client.words() or []) != list(lines):
                self.changed.clear()
                await self.changed.wait()


IN_USE, IS_SPARE = "Ethernet tundev-lan in use", "Wi-Fi wlan0 spare"


def test_an_agent_knows_what_each_of_several_uplinks_is_and_hears_of_a_change() -> None:
    async def scenario() -> None:
        bus = await buses.connect()
        agent = Agent(bus)
        async with service(WIRE, SPARE) as (_, there):
            await agent.client.follow()
            await agent.knows(IN_USE, IS_SPARE)
            bad = row("tundev-lan", UplinkType.LAN, Standing.UNREACHED, reason="no answer")
            rows = [bad, row("wlan0", UplinkType.WLAN, Standing.IN_USE)]
            told = [[buses.variants(one) for one in rows]]
            contract = UPLINK_WATCH
            signal = (contract.path, contract.interface, UPLINKS_CHANGED, "aa{sv}", told)
            await there.send(Message.new_signal(*signal))
            await agent.knows(
                "Ethernet tundev-lan does not reach the RDV server: no answer", "Wi-Fi wlan0 in use"
            )
        await agent.knows()
        bus.disconnect()

    asyncio.run(scenario())


def test_of_a_single_uplink_there_is_nothing_to_tell() -> None:
    async def scenario() -> None:
        bus = await buses.connect()
        agent = Agent(bus)
        async with service(WIRE):
            await agent.client.follow()
            async with asyncio.timeout(10):
                await agent.changed.wait()
            assert agent.client.words() is None
        bus.disconnect()

    asyncio.run(scenario())


def test_a_pick_is_told_again_to_a_service_that_was_restarted() -> None:
    async def scenario() -> None:
        bus = await buses.connect()
        agent = Agent(bus, UplinkType.WLAN)
        async with service(WIRE, SPARE) as (first, _):
            await agent.client.follow()
            assert first.picked == ["wlan"]
        async with service(WIRE, SPARE) as (second, _), asyncio.timeout(10):
            await second.asked.wait()
            assert second.picked == ["wlan"]
        bus.disconnect()

    asyncio.run(scenario())


async def becomes(pick: Pick, changed: asyncio.Event, kind: UplinkType | None) -> None:
    async with asyncio.timeout(10):
        while pick.kind is not kind:
            changed.clear()
            await changed.wait()


async def leaves(bus: MessageBus, there: MessageBus) -> None:
    """`there` disconnects, and who listens on `bus` has been told."""
    left = asyncio.Event()
    stop = await buses.on_owner(bus, str(there.unique_name), lambda _: left.set())
    there.disconnect()
    async with asyncio.timeout(10):
        await left.wait()
    await stop()


def test_a_pick_holds_as_long_as_who_picked_is_on_the_bus() -> None:
    async def scenario() -> None:
        bus, first, second = [await buses.connect() for _ in range(3)]
        changed = asyncio.Event()
        pick = Pick(bus, changed.set)
        await pick.take(UplinkType.WLAN, str(first.unique_name))
        await pick.take(UplinkType.MOBILE, str(second.unique_name))
        await leaves(bus, first)
        assert pick.kind is UplinkType.MOBILE
        second.disconnect()
        await becomes(pick, changed, None)
        bus.disconnect()

    asyncio.run(scenario())


def test_a_pick_of_one_who_is_gone_already_does_not_hold() -> None:
    async def scenario() -> None:
        bus, gone = await buses.connect(), await buses.connect()
        await leaves(bus, gone)
        pick = Pick(bus, lambda: None)
        await pick.take(UplinkType.WLAN, str(gone.unique_name))
        assert pick.kind is None
        bus.disconnect()

    asyncio.run(scenario())


class FakeNetworkManager(ServiceInterface):
    """One that comes up: it has a connection some time after it has its name."""

    def __init__(self) -> None:
        self.active: list[str] = []
        super().__init__(networkmanager.NAME)

    @dbus_property(access=PropertyAccess.READ, name="ActiveConnections")
    @buses.annotated("ao")
    def active_connections(self):  # type: ignore[no-untyped-def]
        return self.active


def test_a_networkmanager_that_is_back_tells_when_it_has_its_connections_again() -> None:
    async def scenario() -> None:
        bus, there = await buses.connect(), await buses.connect()
        changed = asyncio.Event()
        await NetworkManager(bus).on_change(changed.set, lambda: None)
        fake = FakeNetworkManager()
        there.export("/org/freedesktop/NetworkManager", fake)
        await buses.own(there, networkmanager.NAME)
        async with asyncio.timeout(10):
            await changed.wait()
            changed.clear()
            path = f"{networkmanager.NAME.replace('.', '/')}/ActiveConnection/1"
            fake.emit_properties_changed({"ActiveConnections": [f"/{path}"]})
            await changed.wait()
        bus.disconnect()
        there.disconnect()

    asyncio.run(scenario())
