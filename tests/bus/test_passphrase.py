"""The passphrase is said again to a NetworkManager that takes it for a wrong one, and nothing else is."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from dbus_fast import DBusError, Message, PropertyAccess, Variant
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface, dbus_property

from tundev.uplinks import networkmanager, passphrase
from tundev.uplinks.wanted import Wifi
from vtunlib import bus as buses
from vtunlib.errors import RdvError

pytestmark = pytest.mark.usefixtures("system_bus")

WIFI = Wifi("office", "correct horse")
SECONDS = 10.0
DEVICE = f"{networkmanager.NAME}.Device"
WIRED, RADIO, PULLED = (f"/org/freedesktop/NetworkManager/Devices/{number}" for number in (2, 3, 4))


class FakeNetworkManager(ServiceInterface):
    """Keeps who registered, after it has refused as often as it is told to."""

    def __init__(self, refusals: int = 0) -> None:
        self.agents: asyncio.Queue[str] = asyncio.Queue()
        self.refusals = refusals
        self.registered = False
        self.left = 0
        super().__init__(passphrase.AGENTS)

    @buses.answers("Register")
    @buses.annotated("", identifier="s")
    def register(self, identifier):  # type: ignore[no-untyped-def]
        assert identifier == passphrase.NAME
        if self.refusals:
            self.refusals -= 1
            raise DBusError("org.freedesktop.DBus.Error.UnknownMethod", "Object does not exist at path")
        self.registered = True
        self.agents.put_nowait(buses.sender())

    @buses.answers("Unregister")
    @buses.annotated("")
    def unregister(self):  # type: ignore[no-untyped-def]
        if not self.registered:
            raise DBusError(f"{passphrase.AGENTS}.NotRegistered", "Caller is not registered as an Agent")
        self.registered = False
        self.left += 1


class FakeDevice(ServiceInterface):
    """One of NetworkManager's, of that type."""

    def __init__(self, kind: int) -> None:
        self._kind = kind
        super().__init__(DEVICE)

    @dbus_property(access=PropertyAccess.READ, name="DeviceType")
    @buses.annotated("u")
    def device_type(self):  # type: ignore[no-untyped-def]
        return self._kind


async def started(refusals: int = 0) -> tuple[FakeNetworkManager, MessageBus]:
    bus, fake = await buses.connect(), FakeNetworkManager(refusals)
    bus.export(passphrase.AGENTS_PATH, fake)
    for path, kind in ((WIRED, 1), (RADIO, networkmanager.WIFI_DEVICE)):
        bus.export(path, FakeDevice(kind))
    await buses.own(bus, networkmanager.NAME)
    return fake, bus


async def asked(bus: MessageBus, agent: str, name: str, section: str) -> Any:
    """What NetworkManager is told where a secret of the connection was wrong."""
    settings = {"connection": {"id": Variant("s", name)}}
    words: tuple[Any, ...] = (
        "a{sa{sv}}osasu",
        settings,
        "/org/freedesktop/NetworkManager/Settings/1",
        section,
        [],
        3,
    )
    answer = await buses.call(bus, agent, passphrase.PATH, passphrase.INTERFACE, "GetSecrets", *words)
    return buses.plain(answer)


def test_the_passphrase_is_said_again_and_no_pin() -> None:
    async def check() -> None:
        fake, manager = await started()
        bus = await buses.connect()
        await passphrase.insist(bus, WIFI, pause=0.0)
        agent = await asyncio.wait_for(fake.agents.get(), SECONDS)
        told = await asked(manager, agent, "tundev-wifi", "802-11-wireless-security")
        assert told == {"802-11-wireless-security": {"psk": "correct horse"}}
        others = [("tundev-modem", "gsm"), ("tundev-wifi", "802-1x"), ("Home", "802-11-wireless-security")]
        for name, section in others:
            with pytest.raises(RdvError, match="not known"):
                await asked(manager, agent, name, section)
        for one in (bus, manager):
            one.disconnect()

    asyncio.run(check())


def test_a_networkmanager_that_starts_anew_has_the_agent_again() -> None:
    async def check() -> None:
        bus = await buses.connect()
        await passphrase.insist(bus, WIFI, pause=0.0)
        for _ in range(2):
            fake, manager = await started()
            agent = await asyncio.wait_for(fake.agents.get(), SECONDS)
            assert (
                "psk" in (await asked(manager, agent, "tundev-wifi", passphrase.SECTION))[passphrase.SECTION]
            )
            manager.disconnect()
            await manager.wait_for_disconnect()  # type: ignore[no-untyped-call]
        bus.disconnect()

    asyncio.run(check())


def test_a_networkmanager_that_is_not_ready_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is on the bus before the object is there that agents register with."""
    monkeypatch.setattr(passphrase, "RETRY_SECONDS", 0.01)

    async def check() -> None:
        fake, manager = await started(refusals=3)
        bus = await buses.connect()
        await passphrase.insist(bus, WIFI, pause=0.0)
        await asyncio.wait_for(fake.agents.get(), SECONDS)
        for one in (bus, manager):
            one.disconnect()

    asyncio.run(check())


def test_an_agent_that_was_dropped_comes_anew() -> None:
    """Else a connection that NetworkManager has given up would be so until the next boot."""

    async def check() -> None:
        fake, manager = await started()
        bus = await buses.connect()
        await passphrase.insist(bus, WIFI, pause=0.0)
        await asyncio.wait_for(fake.agents.get(), SECONDS)
        fake.registered = False
        manager.send(Message.new_signal(RADIO, DEVICE, "StateChanged", "uuu", [120, 50, 7]))
        await asyncio.wait_for(fake.agents.get(), SECONDS)
        for one in (bus, manager):
            one.disconnect()

    asyncio.run(check())


def test_the_agent_comes_anew_when_wifi_failed_for_want_of_secrets_and_for_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def check() -> None:
        fake, manager = await started()
        bus = await buses.connect()
        await passphrase.insist(bus, WIFI, pause=0.0)
        await asyncio.wait_for(fake.agents.get(), SECONDS)
        # Failed for its SSID, disconnected; for want of secrets: with 802.1X, one that was pulled, Wi-Fi.
        for path, state, reason in (
            *((RADIO, 120, 53), (RADIO, 30, 7)),
            *((WIRED, 120, 7), (PULLED, 120, 7), (RADIO, 120, 7)),
        ):
            manager.send(Message.new_signal(path, DEVICE, "StateChanged", "uuu", [state, 50, reason]))
        await asyncio.wait_for(fake.agents.get(), SECONDS)
        assert (fake.left, fake.agents.qsize()) == (1, 0)
        assert caplog.text.count("Wi-Fi did not take the passphrase") == 1
        for one in (bus, manager):
            one.disconnect()

    asyncio.run(check())


def test_without_a_passphrase_nobody_registers() -> None:
    async def check() -> None:
        fake, manager = await started()
        bus = await buses.connect()
        for wifi in (None, Wifi("open")):
            await passphrase.insist(bus, wifi)
        # What was sent before this answer has come.
        await buses.call(bus, networkmanager.NAME, "/", "org.freedesktop.DBus.Peer", "Ping")
        assert fake.agents.empty()
        for one in (bus, manager):
            one.disconnect()

    asyncio.run(check())
