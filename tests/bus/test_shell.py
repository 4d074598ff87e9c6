"""The tundev shell as a device has it: the real service on real sockets; the manager does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from dbus_fast.aio.message_bus import MessageBus

from rdv import contract
from rdv.contract import Method
from rdv.manager.bus_server import BusServer, Call
from rdv.masterdev_shell import MasterShell
from rdv.onsitedev_shell import OnsiteShell
from rdv.shell.handover import Standing, decode, encode
from rdv.shell.manager_link import ManagerLink
from rdv.shell.shell_session import ShellSession
from rdv.tundev_shell import CONNECTIONS_AT_ONCE, ShellService
from vtunlib import bus as buses
from vtunlib.errors import Busy
from vtunlib.words import prompt

pytestmark = pytest.mark.usefixtures("system_bus")

ME = pwd.getpwuid(os.geteuid()).pw_name
"""Who connects, by SO_PEERCRED: the account that runs the tests."""
PROMPT = prompt(ME)

Left = tuple[socket.socket, Standing]


class Manager:
    """Answers by the contract and remembers what it was asked."""

    def __init__(self, bus: MessageBus, role: str) -> None:
        self.bus = bus
        self.session, self.revision = "", 1
        self.onsites = ['{"id": "o1", "location": "Straße"}']
        self.attached: list[dict[str, str]] = []
        self.asked: list[tuple[str, list[Any]]] = []
        self.idle = asyncio.Event()
        self.attaching = asyncio.Event()
        """Cleared, it lets who attaches wait."""
        self.attaching.set()
        answers: dict[Method, Callable[[Call], Sequence[Any]]] = {
            contract.ATTACH: lambda call: self._attach(call, role),
            contract.LOOK: lambda _: (self.session, self.revision),
            contract.SET_FACT: lambda _: (),
            contract.HAND_OVER: lambda _: (),
            contract.DETACH: lambda _: (),
            contract.CONNECT: self._connect,
            contract.LIST_ONSITES: lambda _: [self.onsites],
            contract.REMOTE_IP_CONFIG: lambda _: ("192.168.1.2/24", ["192.168.1.1", "8.8.8.8"]),
            contract.SESSION_STATUS: lambda _: [{"state": "none", "ended": "it was dropped"}],
        }
        self._server = BusServer(
            bus, contract.PATH, {m: self._asked(m, answer) for m, answer in answers.items()}, lambda _: None
        )

    def _asked(
        self, method: Method, answer: Callable[[Call], Sequence[Any]]
    ) -> Callable[[Call], Awaitable[Sequence[Any]]]:
        async def handler(call: Call) -> Sequence[Any]:
            self.asked.append((method.member, list(call.arguments)))
            self.idle.set()
            if method is contract.ATTACH:
                await self.attaching.wait()
            return answer(call)

        return handler

    def _attach(self, call: Call, role: str) -> Sequence[Any]:
        self.attached.append(call.arguments[2])
        return f"handle{len(self.attached)}", ME, role, self.revision

    @staticmethod
    def _connect(_call: Call) -> Sequence[Any]:
        raise Busy("o1 is in a session with m2")

    async def until_asked(self, member: str) -> None:
        """Until that was asked once more from now on."""
        count = len(self.asked)
        while member not in [name for name, _ in self.asked[count:]]:
            self.idle.clear()
            await self.idle.wait()

    def changed(self) -> None:
        self._server.emit(contract.CHANGED, [ME])

    def end(self, handle: str, line: str) -> None:
        self._server.emit(contract.ENDED, handle, line)


@contextlib.asynccontextmanager
async def manager(role: str, session: str = "", *, attaching: bool = True) -> AsyncIterator[Manager]:
    """A manager while it is on the bus. attaching: whether it answers at once who attaches."""
    bus = await buses.connect(negotiate_unix_fd=True)
    made = Manager(bus, role)
    made.session = session
    if not attaching:
        made.attaching.clear()
    await buses.own(bus, contract.BUS_NAME)
    yield made
    bus.disconnect()


class Device:
    """A device's end of its connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, data: str | bytes) -> None:
        self.writer.write(data if isinstance(data, bytes) else data.encode())

    async def answer(self) -> str:
        """What comes before the next prompt."""
        return (await self.reader.readuntil(PROMPT.encode())).decode().removesuffix(PROMPT)

    async def ask(self, line: str) -> str:
        self.say(f"{line}\n")
        return await self.answer()


@contextlib.asynccontextmanager
async def serving(kind: type[ShellSession], left: Sequence[Left] = ()) -> AsyncIterator[ShellService]:
    """The service, going on with what a former one has left."""
    bus = await buses.connect(negotiate_unix_fd=True)
    service = ShellService(lambda one: ManagerLink(bus, came=one.manager_came, gone=one.manager_gone))
    await service.link.start()
    for connection, standing in left:
        service.serve(connection, kind, standing)
    yield service
    for connection, _ in await service.rest():
        connection.close()
    bus.disconnect()


@contextlib.asynccontextmanager
async def listening(directory: Path) -> AsyncIterator[tuple[socket.socket, Callable[[], Awaitable[Device]]]]:
    """A socket for the service, and what gives a device's connection to it."""
    path = str(directory / "shell.sock")
    devices: list[Device] = []

    async def dial() -> Device:
        devices.append(Device(*await asyncio.open_unix_connection(path, limit=2**22)))
        return devices[-1]

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield listener, dial
        for device in devices:
            device.writer.close()


@contextlib.asynccontextmanager
async def shell(directory: Path, kind: type[ShellSession]) -> AsyncIterator[Callable[[], Awaitable[Device]]]:
    """The service, listening; gives a device's connection, its first prompt not read yet."""
    async with listening(directory) as (listener, dial), serving(kind) as service:
        service.listen(listener, kind)
        yield dial


def run(body: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await body

    asyncio.run(main())


def test_each_line_gets_one_answer_and_a_prompt(tmp_path: Path) -> None:
    async def body() -> None:
        async with manager("master"), shell(tmp_path, MasterShell) as dial:
            device = await dial()
            assert await device.answer() == ""
            assert await device.ask("get_role") == "master\n"
            assert await device.ask("") == ""
            assert await device.ask("echo 'a  b' ü") == "a  b ü\n"
            assert await device.ask("show_online_onsite_devs") == "o1\n"
            assert await device.ask("show_online_onsite_devs -v") == '{"id": "o1", "location": "Straße"}\n'
            assert await device.ask("show_remote_onsite_ip_config") == "192.168.1.2/24\n"
            assert (await device.ask("show_remote_onsite_ip_config -v")).endswith("192.168.1.1 8.8.8.8\n")
            assert await device.ask("session_status") == "state: none\nended: it was dropped\n"
            assert await device.ask("connect_to_onsite_dev o1 'ticket 4711'") == (
                "*** Busy: o1 is in a session with m2\n"
            )
            assert "connect_to_onsite_dev" in await device.ask("help")
            # Several at once are answered in their order.
            device.say("echo 1\necho 2\nget_role\n")
            assert [await device.answer() for _ in range(3)] == ["1\n", "2\n", "master\n"]

    run(body())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"reboot\n", "'reboot' is no command"),
        (b"get_role now\n", "expected: get_role"),
        (b"set_tunnel_mode\n", "expected: set_tunnel_mode"),
        (b"show_online_onsite_devs -x\n", "expected: show_online"),
        (b"debug_mode perhaps\n", "expected: debug_mode on|off"),
        (b"echo 'a\n", "malformed line"),
        (b"echo \x1b[2J\n", "control"),
        (b"echo a\tb\n", "control"),
        (b"echo \xff\n", "not UTF-8"),
        (b"echo " + b"x" * 5000 + b"\n", "longer than 4096"),
        (b"wait_master_connection\n", "is no command"),
    ],
)
def test_what_cannot_be_taken_gets_one_error_line_and_changes_nothing(
    tmp_path: Path, line: bytes, told: str
) -> None:
    async def body() -> None:
        async with manager("master") as boss, shell(tmp_path, MasterShell) as dial:
            device = await dial()
            await device.answer()
            device.say(line)
            answer = await device.answer()
            assert answer.startswith("*** UsageError: ") and told in answer and answer.count("\n") == 1
            assert await device.ask("get_role") == "master\n"
            assert [name for name, _ in boss.asked] == ["Attach"]

    run(body())


def test_an_onsite_waits_until_it_is_picked_and_until_it_is_free_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with manager("onsite") as boss, shell(tmp_path, OnsiteShell) as dial:
            device = await dial()
            await device.answer()
            device.say("wait_master_connection\n")
            await boss.until_asked("Look")
            boss.session = "11111111"
            boss.changed()
            assert await device.answer() == "ready\n"
            device.say("wait_master_connection\n")
            await boss.until_asked("Look")
            boss.changed()  # nothing that matters to it
            await boss.until_asked("Look")
            # One session ends and the next begins between two looks.
            boss.session = "22222222"
            boss.changed()
            assert await device.answer() == "reset\n"
            assert await device.ask("wait_master_connection") == "ready\n"
            boss.session = ""
            assert await device.ask("wait_master_connection") == "reset\n"

    run(body())


def test_a_master_waits_for_a_change(tmp_path: Path) -> None:
    async def body() -> None:
        async with manager("master") as boss, shell(tmp_path, MasterShell) as dial:
            device = await dial()
            await device.answer()
            boss.revision += 1  # after it came, before it asks
            assert await device.ask("wait_change") == "changed\n"
            device.say("wait_change\n")
            await boss.until_asked("Look")
            boss.revision += 1
            boss.changed()
            assert await device.answer() == "changed\n"

    run(body())


def test_a_line_during_a_wait_ends_it_and_is_served_next(tmp_path: Path) -> None:
    async def body() -> None:
        async with manager("onsite") as boss, shell(tmp_path, OnsiteShell) as dial:
            device = await dial()
            await device.answer()
            device.say("wait_master_connection\n")
            await boss.until_asked("Look")
            device.say("get_role\n")
            assert await device.answer() == "not_ready\n"
            assert await device.answer() == "onsite\n"
            device.say("wait_master_connection\necho next\n")
            assert [await device.answer(), await device.answer()] == ["not_ready\n", "next\n"]

    run(body())


def test_while_the_manager_is_away_devices_stay_and_waits_wait(tmp_path: Path) -> None:
    async def body() -> None:
        async with shell(tmp_path, OnsiteShell) as dial:
            early = await dial()
            assert await early.answer() == ""  # it dialled while nobody was there
            away = await early.ask("set_tunnelling_dev_location x")
            assert away.startswith("*** RdvError: the RDV's manager is away")
            async with manager("onsite") as boss:
                # Attached as soon as the manager is there, so some time after it came.
                while (told := await early.ask("set_tunnelling_dev_lan_ip_address 10.0.0.2/24")) == away:
                    pass
                assert told == ""
                late = await dial()
                await late.answer()
                late.say("wait_master_connection\n")
                await boss.until_asked("Look")
            assert (await early.ask("get_tunnel_mode")).startswith("*** RdvError: ")
            async with manager("onsite", session="11111111") as boss:
                # Attached again by themselves, in the order in which they came, with what they had told.
                assert await late.answer() == "ready\n"
                assert boss.attached == [{"lan": "10.0.0.2/24"}, {}]

    run(body())


async def handed_over(service: ShellService) -> list[Left]:
    """What it leaves, as the next process has it: other descriptors, and what was told of each."""
    rested = await service.rest()
    standings = decode(encode(standing for _, standing in rested))
    left = [(connection.dup(), standing) for (connection, _), standing in zip(rested, standings, strict=True)]
    for connection, _ in rested:
        connection.close()
    return left


def test_the_next_service_goes_on_where_this_one_stopped(tmp_path: Path) -> None:
    """In the middle of a wait, of a line, of an answer that is not read; nobody is prompted twice."""

    async def body() -> None:
        async with manager("onsite") as boss, listening(tmp_path) as (listener, dial):
            async with serving(OnsiteShell) as former:
                former.listen(listener, OnsiteShell)
                waiting, typing = await dial(), await dial()
                assert [await waiting.answer(), await typing.answer()] == ["", ""]
                assert await waiting.ask("set_tunnelling_dev_lan_ip_address 10.0.0.2/24") == ""
                waiting.say("wait_master_connection\n")
                await boss.until_asked("Look")
                boss.session = "11111111"
                assert await typing.ask("wait_master_connection") == "ready\n"
                boss.session = ""
                typing.say("echo 'ha")
                left = await handed_over(former)
            assert [standing.wait for _, standing in left] == [["wait_master_connection"], []]
            early = await dial()  # in the backlog meanwhile
            async with serving(OnsiteShell, left) as service:
                service.listen(listener, OnsiteShell)
                assert await early.answer() == ""
                assert boss.attached == [{}, {}, {"lan": "10.0.0.2/24"}, {}, {}]
                boss.session = "22222222"
                boss.changed()
                assert await waiting.answer() == "ready\n"
                assert await typing.ask("lf'") == "half\n"
                # It was told of a session that is over.
                assert await typing.ask("wait_master_connection") == "reset\n"

    run(body())


def test_an_answer_that_was_half_sent_comes_whole(tmp_path: Path) -> None:
    async def body() -> None:
        async with manager("master") as boss, listening(tmp_path) as (listener, dial):
            async with serving(MasterShell) as former:
                former.listen(listener, MasterShell)
                slow = await dial()
                await slow.answer()
                boss.onsites = [json.dumps({"id": "x" * 1000})] * 2000
                slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it reads nothing now
                slow.say("show_online_onsite_devs\nget_role\n")
                await boss.until_asked("ListOnsites")
                ((connection, standing),) = await handed_over(former)
            assert len(standing.unsent) > 1_000_000
            async with serving(MasterShell, [(connection, standing)]):
                slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
                assert (await slow.answer()).split() == ["x" * 1000] * 2000
                assert await slow.answer() == "master\n"

    run(body())


def test_whom_the_manager_disconnects_is_told_why(tmp_path: Path) -> None:
    async def body() -> None:
        async with manager("onsite") as boss, shell(tmp_path, OnsiteShell) as dial:
            device, other = await dial(), None
            await device.answer()
            other = await dial()
            await other.answer()
            device.say("wait_master_connection\n")
            await boss.until_asked("Look")
            boss.end("handle1", "*** TakenOver: taken over")
            assert (await device.reader.read()).decode() == "*** TakenOver: taken over\n"
            assert await other.ask("get_role") == "onsite\n"
            assert "Detach" not in [name for name, _ in boss.asked]  # the manager knows

    run(body())


@pytest.mark.parametrize("farewell", ["exit\n", "logout\n", "echo half a li"])
def test_the_end_of_a_connection_is_told_to_the_manager(tmp_path: Path, farewell: str) -> None:
    async def body() -> None:
        async with manager("onsite") as boss, shell(tmp_path, OnsiteShell) as dial:
            device = await dial()
            await device.answer()
            told = asyncio.create_task(boss.until_asked("Detach"))
            await asyncio.sleep(0)
            device.say(farewell)
            device.writer.write_eof()
            assert await device.reader.read() == b""
            await told
            assert boss.asked[-1] == ("Detach", ["handle1"])

    run(body())


def test_who_goes_while_it_is_attached_again_does_not_stay_online(tmp_path: Path) -> None:
    async def body() -> None:
        async with shell(tmp_path, OnsiteShell) as dial:
            async with manager("onsite") as former:
                device = await dial()
                await device.answer()
                assert former.attached == [{}]
            async with manager("onsite", attaching=False) as boss:
                if not boss.asked:
                    await boss.until_asked("Attach")
                # The socket itself stays open: a copy of it is with the manager.
                device.say("echo going\nexit\n")
                assert await device.answer() == "going\n"
                told = asyncio.create_task(boss.until_asked("Detach"))
                await asyncio.sleep(0)
                boss.attaching.set()
                await told
                assert boss.asked[-1] == ("Detach", ["handle1"])

    run(body())


def test_one_account_has_so_many_connections_at_once_and_no_more(tmp_path: Path) -> None:
    async def body() -> None:
        async with manager("onsite") as boss, shell(tmp_path, OnsiteShell) as dial:
            held = [await dial() for _ in range(ShellService.per_account)]
            for device in held:
                assert await device.answer() == ""
            told = (await (await dial()).reader.read()).decode()
            assert told.startswith("*** Busy: ") and told.count("\n") == 1
            assert len(boss.attached) == len(held)  # the manager was not bothered
            assert await held[0].ask("get_role") == "onsite\n"
            held[1].say("exit\n")
            assert await held[1].reader.read() == b""
            assert await (await dial()).answer() == ""

    run(body())


def test_an_account_that_connects_again_and_again_is_held_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with manager("onsite") as boss, shell(tmp_path, OnsiteShell) as dial:
            told = ""
            for _ in range(2 * CONNECTIONS_AT_ONCE):
                device = await dial()
                told = (await device.reader.read(500)).decode()
                if told.startswith("*** Busy: "):
                    break
                device.say("exit\n")
                await device.reader.read()
            assert "connects too often" in told
            assert len(boss.attached) < 2 * CONNECTIONS_AT_ONCE

    run(body())


def test_a_device_of_the_other_role_is_sent_away(tmp_path: Path) -> None:
    async def body() -> None:
        async with manager("master"), shell(tmp_path, OnsiteShell) as dial:
            device = await dial()
            assert b"*** NotAllowed: " in await device.reader.read()

    run(body())
