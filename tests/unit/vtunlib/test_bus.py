"""Errors, callers, descriptors and any text cross a bus; a private dbus-daemon is the bus."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface

from vtunlib import bus as buses
from vtunlib.errors import AlreadyExists, Busy, NotAllowed, NotRunning, RdvError, Timeout

NAME = "org.rdv.Test"
PATH = "/org/rdv/Test"


def types(gives: str = "", **takes: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The D-Bus types that dbus-fast reads from annotations, where no type checker looks."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__annotations__ = {**takes, **({"return": gives} if gives else {})}
        return function

    return decorate


class Service(ServiceInterface):
    """Answers in all the ways there are."""

    def __init__(self, bus: MessageBus) -> None:
        super().__init__(NAME)
        self.bus = bus

    @buses.answers("Caller")
    @types("u")
    async def caller(self) -> int:
        await asyncio.sleep(0)
        return await buses.sender_uid(self.bus)

    @buses.answers("Sender")
    @types("s")
    def sender(self) -> str:
        return buses.sender()

    @buses.answers("Echo")
    @types("a{sv}", text="s")
    def echo(self, text: str) -> dict[str, Variant]:
        said = Message.new_signal(PATH, NAME, "Said", "s", [text])
        self.bus.send(said)
        return buses.variants({"text": text, "list": [text], "inner": {"text": text}})

    @buses.answers("Refuse")
    @types(text="s")
    async def refuse(self, text: str) -> None:
        raise Busy(text)

    @buses.answers("Fail")
    @types()
    def fail(self) -> None:
        raise ZeroDivisionError("a secret of the inside")

    @buses.answers("Hang")
    @types()
    async def hang(self) -> None:
        await asyncio.Event().wait()

    @buses.answers("Write")
    @types(fd="h")
    async def write(self, fd: int) -> None:
        os.write(fd, b"hello")
        os.close(fd)

    @buses.answers("Two")
    @types("su")
    def two(self) -> list[Any]:
        return ["a", 1]


pytestmark = pytest.mark.usefixtures("daemon")

Body = Callable[[MessageBus, MessageBus], Awaitable[None]]


def with_two(body: Body) -> None:
    """Run `body` with the service's connection and a client's."""

    async def main() -> None:
        server = await buses.connect(negotiate_unix_fd=True)
        client = await buses.connect(negotiate_unix_fd=True)
        server.export(PATH, Service(server))
        await buses.own(server, NAME)
        async with asyncio.timeout(20):
            await body(server, client)
        for bus in (client, server):
            bus.disconnect()

    asyncio.run(main())


async def ask(client: MessageBus, member: str, *arguments: Any, **options: Any) -> Any:
    return await buses.call(client, NAME, PATH, NAME, member, *arguments, **options)


def test_the_service_knows_who_calls() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        assert await ask(client, "Caller") == os.getuid()
        assert await ask(client, "Sender") == client.unique_name

    with_two(body)


def test_several_values_come_as_a_list_one_as_itself_none_as_none() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        assert await ask(client, "Two") == ["a", 1]
        read, write = os.pipe()
        assert await ask(client, "Write", "h", 0, unix_fds=[write]) is None
        os.close(write)
        assert os.read(read, 9) == b"hello"
        os.close(read)

    with_two(body)


@pytest.mark.parametrize(
    "text", ["", "plain", "chaufferie à l'étage", "€" * 100, "日本", "\U0001f600", "a" * 5000]
)
def test_any_text_crosses_whole_in_calls_answers_signals_and_errors(text: str) -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        said: asyncio.Queue[str] = asyncio.Queue()
        await buses.on_signal(client, NAME, PATH, NAME, "Said", said.put_nowait)
        answer = buses.plain(await ask(client, "Echo", "s", text))
        assert answer == {"text": text, "list": [text], "inner": {"text": text}}
        assert await said.get() == text
        with pytest.raises(Busy) as refusal:
            await ask(client, "Refuse", "s", text[:400])
        assert str(refusal.value) == text[:400]

    with_two(body)


def test_text_that_the_bus_does_not_carry_does_not_end_the_connection() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        answer = buses.plain(await ask(client, "Echo", "s", "a\0b\udc80"))
        assert answer["text"] == "a\ufffdb?"
        assert client.connected

    with_two(body)


def test_a_connection_whose_other_end_is_slow_sends_all_in_order() -> None:
    """A few MiB wait for the socket, and small messages are sent meanwhile."""

    async def body(server: MessageBus, client: MessageBus) -> None:
        said: asyncio.Queue[str] = asyncio.Queue()
        await buses.on_signal(client, NAME, PATH, NAME, "Said", said.put_nowait)
        texts = [str(n) * (1_000_000 if n % 3 == 0 else 1) for n in range(9)]
        for text in texts:
            server.send(Message.new_signal(PATH, NAME, "Said", "s", [text]))
        assert [await said.get() for _ in texts] == texts
        assert await ask(client, "Caller") == os.getuid()

    with_two(body)


def test_a_fault_of_ours_is_told_without_its_inside() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        with pytest.raises(RdvError, match=r"^internal error; the journal has more$"):
            await ask(client, "Fail")

    with_two(body)


def test_a_call_ends_at_its_deadline() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        with pytest.raises(Timeout, match="did not answer Hang"):
            await ask(client, "Hang", deadline=0.1)

    with_two(body)


def test_nobody_there_is_told_as_that() -> None:
    async def body(server: MessageBus, client: MessageBus) -> None:
        with pytest.raises(NotRunning, match=r"nobody answers as org\.example\.Nobody"):
            await buses.call(client, "org.example.Nobody", "/", "a.b", "C")
        hanging = asyncio.ensure_future(ask(client, "Hang"))
        await ask(client, "Sender")  # answered after Hang has begun
        server.disconnect()
        with pytest.raises(NotRunning, match="went away"):
            await hanging

    with_two(body)


def test_what_the_policy_refuses_is_not_allowed() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        with pytest.raises(NotAllowed):
            await buses.call(client, NAME, PATH, "org.rdv.Test.Admin", "Drop")
        with pytest.raises(NotAllowed):
            await buses.own(client, "org.rdv.Forbidden")
        with pytest.raises(AlreadyExists):
            await buses.own(client, NAME)

    with_two(body)


def test_the_end_of_the_bus_ends_calls_at_once(daemon: subprocess.Popen[bytes]) -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        hanging = asyncio.ensure_future(ask(client, "Hang"))
        await ask(client, "Sender")
        daemon.kill()
        with pytest.raises(NotRunning):
            await hanging
        with pytest.raises(NotRunning):
            await ask(client, "Sender")
        with pytest.raises(RdvError, match=r"cannot connect to the system bus"):
            await buses.connect()

    with_two(body)


def test_the_owner_of_a_name_is_followed() -> None:
    async def body(server: MessageBus, client: MessageBus) -> None:
        owners: asyncio.Queue[str] = asyncio.Queue()
        stop = await buses.on_owner(client, "org.rdv.Other", owners.put_nowait)
        assert await buses.owner(client, "org.rdv.Other") == ""
        await buses.own(server, "org.rdv.Other")
        assert await owners.get() == server.unique_name == await buses.owner(client, "org.rdv.Other")
        await server.release_name("org.rdv.Other")
        assert await owners.get() == ""
        await stop()
        await buses.own(server, "org.rdv.Other")
        await ask(client, "Sender")
        assert owners.empty()

    with_two(body)


def test_a_signal_of_someone_else_does_not_count() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        said: list[str] = []
        await buses.on_signal(client, NAME, PATH, NAME, "Said", said.append)
        forger = await buses.connect()
        forged = Message(
            destination=client.unique_name,
            path=PATH,
            interface=NAME,
            member="Said",
            signature="s",
            body=["forged"],
            message_type=MessageType.SIGNAL,
        )
        await forger.send(forged)
        await ask(forger, "Sender")  # the bus keeps the order of what one peer sends
        await ask(client, "Echo", "s", "real")
        await ask(client, "Sender")
        assert said == ["real"]
        forger.disconnect()

    with_two(body)


def test_descriptors_that_nobody_asked_for_are_closed() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        sender = await buses.connect(negotiate_unix_fd=True)
        read, write = os.pipe()
        unasked = Message(
            destination=client.unique_name,
            path=PATH,
            interface=NAME,
            member="Gift",
            signature="h",
            body=[0],
            unix_fds=[write],
            message_type=MessageType.SIGNAL,
        )
        await sender.send(unasked)
        await ask(sender, "Sender")
        os.close(write)
        await ask(client, "Sender")  # after the signal, in the order of the bus
        os.set_blocking(read, False)
        assert os.read(read, 1) == b""  # nobody holds the other end
        os.close(read)
        sender.disconnect()

    with_two(body)


def test_values_become_variants_and_plain_again() -> None:
    values = {
        "b": True,
        "i": -5,
        "d": 0.5,
        "s": "x",
        "as": ["a"],
        "none": None,
        "empty": [],
        "in": {"s": "y"},
    }
    wrapped = buses.variants(values)
    assert wrapped["i"] == Variant("x", -5)
    assert "none" not in wrapped
    assert buses.plain(wrapped) == {key: value for key, value in values.items() if value is not None}
    with pytest.raises(TypeError):
        buses.variants({"x": object()})
