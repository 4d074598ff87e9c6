"""The agent's side of the technician's port, with a watcher on the bus that is what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dbus_fast import Message
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface

from tundev import borrowed_port
from tundev.borrowed_port import BorrowedPort, Use
from tundev.contract import (
    BORROW,
    GET_INTERFACE,
    GIVE_BACK,
    INTERFACE_REMOVED,
    PORT_CHANGED,
    REPLUG,
    SET_NAME_SERVERS,
    WATCHER,
    PortKey,
    PortState,
)
from vtunlib import bus as buses
from vtunlib.errors import NoSession, NotFound, NotRunning, RdvError, SessionFailed
from vtunlib.tunnel import TunnelMode

pytestmark = pytest.mark.usefixtures("system_bus")

READY: dict[str, Any] = {PortKey.STATE: str(PortState.READY), PortKey.INTERFACE: "eth1"}
USE = Use(TunnelMode.L3, "192.168.1.2/24", ("192.168.1.1",))


class FakeWatcher(ServiceInterface):
    """Answers with `values`, and keeps what it was asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.asked: list[tuple[Any, ...]] = []
        self.answering = asyncio.Event()
        """Cleared, a Borrow waits."""
        self.answering.set()
        self.busy = asyncio.Event()
        """A Borrow has come."""
        super().__init__(WATCHER.interface)

    @buses.answers(GET_INTERFACE)
    @buses.annotated("a{sv}")
    def get_interface(self):  # type: ignore[no-untyped-def]
        return buses.variants(self.values)

    @buses.answers(BORROW)
    @buses.annotated("a{sv}", mode="s", lan="s", servers="as")
    async def borrow(self, mode, lan, servers):  # type: ignore[no-untyped-def]
        self.asked.append((BORROW, mode, lan, *servers))
        self.busy.set()
        await self.answering.wait()
        if self.values[PortKey.STATE] != PortState.READY:
            raise NotFound("the technician's port is not ready")
        return buses.variants(self.values)

    @buses.answers(SET_NAME_SERVERS)
    @buses.annotated("", servers="as")
    def set_name_servers(self, servers):  # type: ignore[no-untyped-def]
        self.asked.append((SET_NAME_SERVERS, *servers))

    @buses.answers(REPLUG)
    @buses.annotated("")
    def replug(self):  # type: ignore[no-untyped-def]
        self.asked.append((REPLUG,))

    @buses.answers(GIVE_BACK)
    @buses.annotated("")
    def give_back(self):  # type: ignore[no-untyped-def]
        self.asked.append((GIVE_BACK,))


class Desk:
    """An agent's port, what became of it, and watchers that come and go."""

    def __init__(self) -> None:
        self.lost: asyncio.Queue[tuple[RdvError, bool]] = asyncio.Queue()
        self.steps: list[str] = []
        self.stepped = asyncio.Event()
        self.changed = asyncio.Event()
        self.port = BorrowedPort(
            self.changed.set, lambda error, wished: self.lost.put_nowait((error, wished))
        )
        self.bus: MessageBus | None = None

    def lose(self, error: RdvError, as_wished: bool) -> None:
        self.lost.put_nowait((error, as_wished))

    def step(self, text: str) -> None:
        self.steps.append(text)
        self.stepped.set()

    async def watcher(self, values: dict[str, Any]) -> FakeWatcher:
        """Another one."""
        fake = FakeWatcher(values)
        self.bus = await buses.connect()
        self.bus.export(WATCHER.path, fake)
        await buses.own(self.bus, WATCHER.name)
        return fake

    def killed(self) -> None:
        assert self.bus is not None
        self.bus.disconnect()

    def tell(self, member: str, signature: str, *body: Any) -> None:
        assert self.bus is not None
        self.bus.send(Message.new_signal(WATCHER.path, WATCHER.interface, member, signature, list(body)))

    def becomes(self, values: dict[str, Any]) -> None:
        self.tell(PORT_CHANGED, "a{sv}", buses.variants(values))

    async def until(self, state: PortState | None) -> None:
        """The agent knows it."""
        async with asyncio.timeout(10):
            while self.port.state is not state:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    agent = await buses.connect()
    try:
        await made.port.listen(agent)
        yield made
    finally:
        agent.disconnect()
        if made.bus is not None:
            made.bus.disconnect()


def value(state: PortState, **more: Any) -> dict[str, Any]:
    return {PortKey.STATE: str(state), **more}


@pytest.mark.parametrize(
    ("values", "text", "hint"),
    [
        (value(PortState.ABSENT), "no USB-Ethernet adapter", "plug the adapter into the master"),
        (value(PortState.NO_CABLE), "the adapter has no link", "plug the laptop's network cable"),
        (
            value(PortState.REFUSED, reason="another DHCP server, 10.0.0.1"),
            "the adapter is not used: another DHCP server, 10.0.0.1",
            "plug the laptop in",
        ),
        (value(PortState.BORROWED), "in a session", "masterdev disconnect"),
        (value(PortState.ABSENT, left_alone=["wwan0 is a modem"]), "plugged in: wwan0 is a modem", "plug"),
    ],
)
def test_each_state_says_what_is_wrong_and_what_to_do(values: dict[str, Any], text: str, hint: str) -> None:
    async def scenario() -> None:
        async with desk() as made:
            await made.watcher(values)
            await made.until(PortState(values[PortKey.STATE]))
            with pytest.raises(NotFound) as told:
                await made.port.ready(0, made.step)
            assert text in told.value.message and hint in told.value.hint

    asyncio.run(scenario())


def test_without_a_watcher_it_says_whom_to_ask() -> None:
    async def scenario() -> None:
        async with desk() as made:
            with pytest.raises(NotRunning, match="systemctl status secondary-if-watcher"):
                await made.port.ready(0, made.step)

    asyncio.run(scenario())


def test_the_adapter_is_waited_for_when_told_to_and_a_look_always() -> None:
    async def scenario() -> None:
        async with desk() as made:
            await made.watcher(value(PortState.ABSENT))
            await made.until(PortState.ABSENT)
            waiting = asyncio.create_task(made.port.ready(60, made.step))
            await made.stepped.wait()
            made.becomes(READY)
            await waiting
            assert made.steps == ["waiting for the adapter"] and made.port.interface == "eth1"
            made.becomes(value(PortState.CHECKING))
            await made.until(PortState.CHECKING)
            waiting = asyncio.create_task(made.port.ready(0, made.step))
            await asyncio.sleep(0)
            made.becomes(READY)
            await waiting
            assert made.steps == ["waiting for the adapter"]

    asyncio.run(scenario())


def test_a_session_that_is_given_up_while_it_borrows_gives_back() -> None:
    """Who is cut off in the middle does not know whether the port was lent."""

    async def scenario() -> None:
        async with desk() as made:
            watcher = await made.watcher(READY)
            await made.until(PortState.READY)
            watcher.answering.clear()
            borrowing = asyncio.create_task(made.port.borrow(USE))
            await watcher.busy.wait()
            borrowing.cancel()
            await asyncio.gather(borrowing, return_exceptions=True)
            await made.port.give_back()
            assert watcher.asked[1:] == [(GIVE_BACK,)]

    asyncio.run(scenario())


def test_a_watcher_that_comes_back_is_asked_for_the_port_again() -> None:
    async def scenario() -> None:
        async with desk() as made:
            first = await made.watcher(READY)
            await made.until(PortState.READY)
            assert await made.port.borrow(USE) == "eth1"
            borrowed = (BORROW, "L3", "192.168.1.2/24", "192.168.1.1")
            assert first.asked == [borrowed]
            await made.port.ask_through(USE.servers)
            made.killed()
            await made.until(None)
            second = await made.watcher(READY)
            await made.until(PortState.READY)
            assert second.asked == [borrowed, (SET_NAME_SERVERS, "192.168.1.1")]
            await made.port.give_back()
            assert second.asked[2:] == [(GIVE_BACK,)]
            made.killed()
            await made.until(None)
            third = await made.watcher(READY)
            await made.until(PortState.READY)
            assert not third.asked and made.lost.empty()

    asyncio.run(scenario())


def test_a_session_whose_watcher_stays_away_or_has_the_port_no_more_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(borrowed_port, "WATCHER_SECONDS", 0.1)

    async def scenario() -> None:
        async with desk() as made:
            await made.watcher(READY)
            await made.until(PortState.READY)
            await made.port.borrow(USE)
            made.killed()
            error, wished = await asyncio.wait_for(made.lost.get(), 10)
            assert "does not run any more" in str(error) and not wished
            await made.watcher(value(PortState.ABSENT))
            error, wished = await asyncio.wait_for(made.lost.get(), 10)
            assert "not there any more" in str(error) and not wished

    asyncio.run(scenario())


def test_a_pulled_plug_is_a_wish_and_another_network_or_a_fault_is_none() -> None:
    async def scenario() -> None:
        async with desk() as made:
            await made.watcher(READY)
            await made.until(PortState.READY)
            made.becomes(value(PortState.ABSENT))
            made.tell(INTERFACE_REMOVED, "ss", "eth1", "the adapter was unplugged")
            error, wished = await asyncio.wait_for(made.lost.get(), 10)
            assert isinstance(error, NoSession) and str(error) == "the adapter was unplugged" and wished
            for state, why in (
                (PortState.REFUSED, "another DHCP server"),
                (PortState.CHECKING, "tundev-dhcp@eth1.service: failed"),
            ):
                made.becomes(value(state, reason=why))
                made.tell(INTERFACE_REMOVED, "ss", "eth1", why)
                error, wished = await asyncio.wait_for(made.lost.get(), 10)
                assert isinstance(error, SessionFailed) and str(error) == why and not wished

    asyncio.run(scenario())
