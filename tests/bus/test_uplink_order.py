"""In which order the uplinks are preferred, while NetworkManager is there, and while it is restarted."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from dbus_fast import DBusError, PropertyAccess, Variant
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface, dbus_property

from tundev.lan import Uplink, WayOut
from tundev.uplinks import networkmanager
from tundev.uplinks.networkmanager import NetworkManager
from tundev.uplinks.order import BACK_SECONDS, Order
from vtunlib import bus as buses

pytestmark = pytest.mark.usefixtures("system_bus")

PATH = f"/{networkmanager.NAME.replace('.', '/')}"
WIRE, MODEM = "tundev-lan", "wwan0"
METRICS = {WIRE: 200, MODEM: 100}
SECONDS = 10.0


def way(link: str, metric: int) -> WayOut:
    return WayOut(Uplink(link, ipaddress.IPv4Interface("192.0.2.2/24")), metric, plugged=True)


WAYS = (way(WIRE, 50), way(MODEM, 100))


class FakeDevice(ServiceInterface):
    """Of an interface, and with a connection from when `active` is one."""

    def __init__(self) -> None:
        self.active = "/"
        super().__init__(f"{networkmanager.NAME}.Device")

    @dbus_property(access=PropertyAccess.READ, name="ActiveConnection")
    @buses.annotated("o")
    def active_connection(self):  # type: ignore[no-untyped-def]
        return self.active


class FakeActive(ServiceInterface):
    def __init__(self, settings: str) -> None:
        self._settings = settings
        super().__init__(f"{networkmanager.NAME}.Connection.Active")

    @dbus_property(access=PropertyAccess.READ, name="Connection")
    @buses.annotated("o")
    def connection(self):  # type: ignore[no-untyped-def]
        return self._settings


class FakeSettings(ServiceInterface):
    def __init__(self, metric: int) -> None:
        self._metric = metric
        super().__init__(f"{networkmanager.NAME}.Settings.Connection")

    @buses.answers("GetSettings")
    @buses.annotated("a{sa{sv}}")
    def get_settings(self):  # type: ignore[no-untyped-def]
        return {"ipv4": {"route-metric": Variant("x", self._metric)}}


class FakeNetworkManager(ServiceInterface):
    """Has its name first, then interfaces, then connections on them, as the real one."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._devices: dict[str, FakeDevice] = {}
        super().__init__(networkmanager.NAME)
        bus.export(PATH, self)

    @buses.answers("GetDeviceByIpIface")
    @buses.annotated("o", link="s")
    def get_device(self, link):  # type: ignore[no-untyped-def]
        if link not in self._devices:
            raise DBusError(f"{networkmanager.NAME}.UnknownDevice", "No device found for the interface")
        return self._path("Devices", link)

    def sees(self, *links: str) -> None:
        for link in links:
            self._devices[link] = FakeDevice()
            self._bus.export(self._path("Devices", link), self._devices[link])

    def connects(self, *links: str) -> None:
        for link in links:
            active, settings = self._path("ActiveConnection", link), self._path("Settings", link)
            self._bus.export(active, FakeActive(settings))
            self._bus.export(settings, FakeSettings(METRICS[link]))
            self._devices[link].active = active

    @staticmethod
    def _path(kind: str, link: str) -> str:
        return f"{PATH}/{kind}/{link.replace('-', '_')}"


class Seen:
    """The order as it is followed in the service."""

    def __init__(self, bus: MessageBus, back_seconds: float) -> None:
        self._networkmanager = NetworkManager(bus)
        self.order = Order(self._networkmanager, back_seconds)
        self._changed = asyncio.Event()

    async def follow(self) -> None:
        await self._networkmanager.on_change(self._changed.set, self.order.came)

    async def heard(self) -> None:
        """Until it was told of a change."""
        async with asyncio.timeout(SECONDS):
            await self._changed.wait()
        self._changed.clear()

    async def links(self) -> list[str]:
        return [way.uplink.link for way in await self.order.sorted(WAYS)]


@asynccontextmanager
async def following(back_seconds: float = BACK_SECONDS) -> AsyncIterator[Seen]:
    bus = await buses.connect()
    seen = Seen(bus, back_seconds)
    await seen.follow()
    try:
        yield seen
    finally:
        bus.disconnect()


@asynccontextmanager
async def running(seen: Seen) -> AsyncIterator[FakeNetworkManager]:
    bus = await buses.connect()
    fake = FakeNetworkManager(bus)
    await buses.own(bus, networkmanager.NAME)
    await seen.heard()
    try:
        yield fake
    finally:
        bus.disconnect()
        await seen.heard()


async def has_had_both(seen: Seen) -> None:
    """It runs, says all there is to say, and goes."""
    async with running(seen) as fake:
        fake.sees(WIRE, MODEM)
        fake.connects(WIRE, MODEM)
        assert await seen.links() == [MODEM, WIRE]
        assert seen.order.again is None


def test_an_uplink_stays_one_while_networkmanager_is_restarted() -> None:
    async def scenario() -> None:
        async with following() as seen:
            await has_had_both(seen)
            assert await seen.links() == [MODEM, WIRE]
            async with running(seen) as fake:
                assert await seen.links() == [MODEM, WIRE]
                fake.sees(WIRE, MODEM)
                assert await seen.links() == [MODEM, WIRE]
                fake.connects(WIRE)
                assert await seen.links() == [MODEM, WIRE]
                # It is looked again though NetworkManager may say nothing more.
                assert seen.order.again is not None and 0 < seen.order.again <= BACK_SECONDS
                fake.connects(MODEM)
                assert await seen.links() == [MODEM, WIRE]
                assert seen.order.again is None

    asyncio.run(scenario())


def test_what_networkmanager_has_not_taken_up_again_in_time_is_not_its_own() -> None:
    async def scenario() -> None:
        async with following(back_seconds=0.0) as seen:
            await has_had_both(seen)
            async with running(seen) as fake:
                fake.sees(WIRE, MODEM)
                fake.connects(WIRE)
                assert await seen.links() == [WIRE]
                assert seen.order.again is None

    asyncio.run(scenario())


def test_what_was_never_networkmanagers_is_left_as_it_is() -> None:
    async def scenario() -> None:
        async with following() as seen:
            for _ in range(2):
                async with running(seen) as fake:
                    fake.sees(WIRE, MODEM)
                    fake.connects(WIRE)
                    assert await seen.links() == [WIRE]

    asyncio.run(scenario())
