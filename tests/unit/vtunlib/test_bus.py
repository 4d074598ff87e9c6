"""Errors, callers, descriptors and any text cross a bus; a private dbus-daemon is the bus."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface, signal

from vtunlib import bus as buses
from vtunlib.errors import AlreadyExists, Busy, NotAllowed, NotRunning, RdvError, Timeout

NAME = "org.rdv.Test"
PATH = "/org/rdv/Test"
POLICY = """<busconfig>
  <type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><deny own="org.rdv.Forbidden"/>
    <allow send_type="method_call"/><allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/><allow receive_type="signal"/>
    <allow receive_type="method_return"/><allow receive_type="error"/>
    <deny send_interface="org.rdv.Test.Admin"/>
  </policy>
</busconfig>"""


class Service(ServiceInterface):
    """Answers in all the ways there are."""

    def __init__(self, bus: MessageBus) -> None:
        super().__init__(NAME)
        self.bus = bus

    @buses.answers()
    async def Caller(self) -> "u":  # type: ignore[name-defined] # noqa: F821, N802
        await asyncio.sleep(0)
        return await buses.sender_uid(self.bus)

    @buses.answers("Sender")
    def sender(self) -> "s":  # type: ignore[name-defined] # noqa: F821
        return buses.sender()

    @buses.answers()
    def Echo(self, text: "s") -> "a{sv}":  # type: ignore # noqa: F722, F821, N802
        self.Said(text)
        return buses.variants({"text": text, "list": [text], "inner": {"text": text}})

    @signal()
    def Said(self, text: "s") -> "s":  # type: ignore[name-defined] # noqa: F821, N802
        return text

    @buses.answers()
    async def Refuse(self, text: "s"):  # type: ignore # noqa: F821, N802, ANN201
        raise Busy(text)

    @buses.answers()
    def Fail(self):  # type: ignore[no-untyped-def] # noqa: N802, ANN201
        raise ZeroDivisionError("a secret of the inside")

    @buses.answers()
    async def Hang(self):  # type: ignore[no-untyped-def] # noqa: N802, ANN201
        await asyncio.Event().wait()

    @buses.answers()
    async def Write(self, fd: "h"):  # type: ignore[no-untyped-def, name-defined] # noqa: F821, N802, ANN201
        os.write(fd, b"hello")
        os.close(fd)

    @buses.answers()
    def Two(self) -> "su":  # type: ignore[name-defined] # noqa: F821, N802
        return ["a", 1]


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A bus of our own, found as the system bus."""
    socket = tmp_path / "bus"
    config = tmp_path / "bus.conf"
    config.write_text(POLICY.format(path=socket))
    argv = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()  # written when it listens
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={socket}")
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


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


def test_a_fault_of_ours_is_told_without_its_inside() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        with pytest.raises(RdvError, match="^internal error; the journal has more$"):
            await ask(client, "Fail")

    with_two(body)


def test_a_call_ends_at_its_deadline() -> None:
    async def body(_server: MessageBus, client: MessageBus) -> None:
        with pytest.raises(Timeout, match="did not answer Hang"):
            await ask(client, "Hang", deadline=0.1)

    with_two(body)


def test_nobody_there_is_told_as_that() -> None:
    async def body(server: MessageBus, client: MessageBus) -> None:
        with pytest.raises(NotRunning, match="nobody answers as org.example.Nobody"):
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
        with pytest.raises(RdvError, match="cannot connect to the system bus"):
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
