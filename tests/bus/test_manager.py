"""The manager's contract, all but the sessions themselves: those need systemd and have the lab."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message
from dbus_fast.aio.message_bus import MessageBus

from rdv import contract
from rdv.access.in_force import AccessList
from rdv.access.rules import Party
from rdv.access.watch import Watch
from rdv.audit.store import Store, StoreFailed
from rdv.audit.writer import Recorder
from rdv.contract import Fact, Method
from rdv.devices import Device
from rdv.manager.bus_service import BusService
from rdv.manager.registry import CHANGES_AT_ONCE
from rdv.manager.warnings import Warnings
from rdv.settings import Audit
from vtunlib import bus as buses
from vtunlib.errors import (
    Busy,
    ModeNotPossible,
    NoSession,
    NotAllowed,
    NotFound,
    NotOnline,
    UsageError,
)
from vtunlib.tunnel import Role

pytestmark = pytest.mark.usefixtures("system_bus")

DEVICES = {
    "o1": Device("o1", Role.ONSITE, "Büro"),
    "o2": Device("o2", Role.ONSITE, groups=("plant",)),
    "m1": Device("m1", Role.MASTER),
    "m2": Device("m2", Role.MASTER),
}


class Client:
    """One connection to the bus, as the shell service has it."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.heard: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue()
        self.sockets: list[socket.socket] = []
        bus.add_message_handler(self._hear)

    def _hear(self, message: Message) -> None:
        if message.path == contract.PATH and message.member in ("Changed", "Ended", "Event"):
            self.heard.put_nowait((message.member, message.body))

    async def ask(self, method: Method, *arguments: Any, fds: list[int] | None = None) -> Any:
        return await buses.call(
            self.bus,
            contract.BUS_NAME,
            contract.PATH,
            method.interface,
            method.member,
            method.takes,
            *arguments,
            unix_fds=fds,
        )

    async def attach(self, account: str, facts: dict[str, str] | None = None) -> str:
        """The handle of a new connection of that device."""
        with self.dialled(account) as theirs:
            return await self.attach_socket(theirs, account, facts)

    def dialled(self, account: str) -> socket.socket:
        """The server's end of a new connection of that device."""
        ours, theirs = socket.socketpair()
        self.sockets.append(ours)
        ours.send(account.encode())
        return theirs

    async def attach_socket(
        self, theirs: socket.socket, account: str, facts: dict[str, str] | None = None, since: int = 0
    ) -> str:
        """The handle of that connection, which came at `since`."""
        fds = [theirs.fileno()]
        handle, told, role, _ = await self.ask(contract.ATTACH, 0, since, facts or {}, fds=fds)
        assert (told, role) == (account, DEVICES[account].role)
        return str(handle)

    async def online(self) -> dict[str, dict[str, Any]]:
        """What is shown of the devices that are online, by account."""
        rows = [json.loads(row) for row in await self.ask(contract.LIST_ONLINE)]
        return {row["id"]: row for row in rows}

    async def signal(self, member: str) -> list[Any]:
        """The next signal of that name."""
        while True:
            name, body = await self.heard.get()
            if name == member:
                return body


def identify(connection: socket.socket) -> tuple[Device, int]:
    """Stands for SO_PEERCRED and the account database: the socket's first bytes name the device."""
    name = connection.recv(16, socket.MSG_PEEK | socket.MSG_DONTWAIT).decode()
    if name not in DEVICES:
        raise NotAllowed(f"{name} is no device")
    return DEVICES[name], os.getuid()


def party(account: str) -> Party | None:
    """Stands for the devices' files."""
    return Party(account, frozenset(DEVICES[account].groups)) if account in DEVICES else None


Body = Callable[[BusService, Client], Awaitable[None]]

INSTALLED = Path(__file__).resolve().parents[2] / "rdv/system/etc/rdv/acl.toml"
"""The rules of a new installation."""


def with_manager(acl: Path, body: Body, *, grace: float = 60.0) -> None:
    """Run `body` with a manager on the bus, and a client.

    acl: where the rules are; those of a new installation unless it is there.
    grace: seconds, for what a shell handed over.
    """
    if not acl.exists():
        acl.write_text(INSTALLED.read_text())

    async def main() -> None:
        server, bus = await buses.connect(negotiate_unix_fd=True), await buses.connect(negotiate_unix_fd=True)
        audit = Recorder(Audit(), Warnings(), acl.with_name("audit.db"))
        audit.start()
        with contextlib.suppress(StoreFailed):
            await audit.ask(Store.last_seen)  # open from now on: some tests count descriptors
        access = AccessList(party, acl, acl.with_name("kept.toml"))
        service = BusService(server, identify, access, audit, grace=grace)
        watch = Watch(service.look_again, [acl.parent])
        watch.start()
        await buses.own(server, contract.BUS_NAME)
        client = Client(bus)
        await _listen(bus)
        async with asyncio.timeout(20):
            await body(service, client)
        watch.stop()
        service.finish()
        for one in (bus, server):
            one.disconnect()
        await audit.close()
        for sock in client.sockets:
            sock.close()

    asyncio.run(main())


async def _listen(bus: MessageBus) -> None:
    rule = f"type='signal',path='{contract.PATH}'"
    await buses.call(
        bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", rule
    )


ONLINE = {Fact.LAN: "192.168.1.2/24", Fact.DNS: "192.168.1.1", Fact.UPLINK: "lan", Fact.LOCATION: "Straße 3"}


def descriptors() -> int:
    """How many this process has open, the one for counting included."""
    gc.collect()  # what earlier tests have dropped goes now, not while we count
    return len(list(Path("/proc/self/fd").iterdir()))


def told(facts: dict[Fact, str]) -> dict[str, str]:
    return {str(fact): text for fact, text in facts.items()}


def test_who_is_attached_is_read_from_the_socket_and_shown(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        await client.attach("o1", told(ONLINE))
        master = await client.attach("m1")
        (row,) = [json.loads(row) for row in await client.ask(contract.LIST_ONSITES, master)]
        assert (row["id"], row["label"], row["location"]) == ("o1", "Büro", "Straße 3")
        assert (row["lan"], row["dns"], row["in_session"]) == ("192.168.1.2/24", ["192.168.1.1"], None)
        online = [json.loads(row) for row in await client.ask(contract.LIST_ONLINE)]
        assert [(row["id"], row["role"]) for row in online] == [("m1", "master"), ("o1", "onsite")]

    with_manager(tmp_path / "acl.toml", body)


def test_the_status_is_all_that_only_the_manager_knows(tmp_path: Path) -> None:
    async def body(service: BusService, client: Client) -> None:
        empty = json.loads(await client.ask(contract.STATUS))
        assert (empty["devices"], empty["sessions"], empty["warnings"]) == ([], [], [])
        await client.attach("o1", {**told(ONLINE), "version": "0.1.0"})
        service.warnings.set("audit", "the audit store cannot be written:\x1b[2J disk full")
        status = json.loads(await client.ask(contract.STATUS))
        assert [(row["id"], row["role"], row["version"]) for row in status["devices"]] == [
            ("o1", "onsite", "0.1.0")
        ]
        (warning,) = status["warnings"]
        assert warning["key"] == "audit"
        assert warning["text"] == "the audit store cannot be written:?[2J disk full"
        service.warnings.clear("audit")
        assert json.loads(await client.ask(contract.STATUS))["warnings"] == []

    with_manager(tmp_path / "acl.toml", body)


def test_a_socket_of_somebody_else_and_none_at_all_are_refused(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.send(b"root")
            with pytest.raises(NotAllowed, match="no device"):
                await client.ask(contract.ATTACH, 0, 0, {}, fds=[theirs.fileno()])
            with pytest.raises(NotAllowed, match="no socket"):
                await client.ask(contract.ATTACH, 3, 0, {}, fds=[theirs.fileno()])

    with_manager(tmp_path / "acl.toml", body)


def test_no_call_and_no_signal_leaves_a_descriptor_behind(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        await client.attach("o1")
        before = descriptors()
        read, write = os.pipe()
        server = await buses.owner(client.bus, contract.BUS_NAME)
        for member in ("Look", "Nothing"):
            message = Message(
                destination=contract.BUS_NAME,
                path=contract.PATH,
                interface=contract.SHELL_INTERFACE,
                member=member,
                signature="h",
                body=[0],
                unix_fds=[read],
            )
            await client.bus.call(message)
        signal = Message.new_signal(contract.PATH, "org.rdv.Other", "Noise", "h", [0], unix_fds=[read])
        signal.destination = server
        await client.bus.send(signal)
        for index in (0, 7):
            with pytest.raises(NotAllowed, match="no socket"):
                await client.ask(contract.ATTACH, index, 0, {}, fds=[read])
        os.close(read)
        os.close(write)
        assert descriptors() == before

    with_manager(tmp_path / "acl.toml", body)


def test_a_handle_is_worth_nothing_to_another_connection_and_ends_with_its_own(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        other = Client(await buses.connect(negotiate_unix_fd=True))
        handle = await other.attach("o1")
        master = await client.attach("m1")
        for method in (contract.LOOK, contract.GET_TUNNEL_MODE):
            with pytest.raises(NotAllowed, match="not attached"):
                await client.ask(method, handle)
        with pytest.raises(NotAllowed):
            await client.ask(contract.DETACH, handle)
        while not client.heard.empty():
            client.heard.get_nowait()
        other.bus.disconnect()
        # m1 is told that its list changed: the onsite went with the bus connection that attached it.
        assert "m1" in (await client.signal("Changed"))[0]
        assert await client.ask(contract.LIST_ONSITES, master) == []
        for sock in other.sockets:
            sock.close()

    with_manager(tmp_path / "acl.toml", body)


def test_a_restarted_shell_goes_on_with_its_devices(tmp_path: Path) -> None:
    """Meanwhile they are online; who dialled anew in between has a connection of its own."""

    async def body(_service: BusService, client: Client) -> None:
        former, since = Client(await buses.connect(negotiate_unix_fd=True)), 1_700_000_000
        first, second = client.dialled("o1"), client.dialled("o2")
        with first, second:
            await former.attach_socket(first, "o1", told(ONLINE), since)
            await former.attach_socket(second, "o2", told(ONLINE), since)
            master = await client.attach("m1")
            revision = (await client.ask(contract.LOOK, master))[1]
            await former.ask(contract.HAND_OVER)
            former.bus.disconnect()
            while await buses.owner(client.bus, former.bus.unique_name or ""):
                pass
            assert set(await client.online()) == {"m1", "o1", "o2"}
            handle = await client.attach_socket(first, "o1", told(ONLINE), since)
            assert (await client.ask(contract.LOOK, handle))[0] == ""
            assert (await client.ask(contract.LOOK, master))[1] == revision  # nothing happened
            await client.attach("o2")
            online = await client.online()
            assert online["o1"]["since"] == "2023-11-14T22:13:20Z" != online["o2"]["since"]
            assert online["o1"]["lan"] == ONLINE[Fact.LAN]

    with_manager(tmp_path / "acl.toml", body)


def test_what_no_shell_takes_up_is_offline_after_the_grace(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        former = Client(await buses.connect(negotiate_unix_fd=True))
        with former.dialled("o1") as kept, former.dialled("o2") as lost:
            await former.attach_socket(kept, "o1")
            await former.attach_socket(lost, "o2")
            master = await client.attach("m1")
            await former.ask(contract.HAND_OVER)
            former.bus.disconnect()
            await client.attach_socket(kept, "o1")
            while set(await client.online()) != {"m1", "o1"}:
                await client.signal("Changed")
            rows = [json.loads(row)["id"] for row in await client.ask(contract.LIST_ONSITES, master)]
            assert rows == ["o1"]
            for sock in former.sockets:
                sock.close()

    with_manager(tmp_path / "acl.toml", body, grace=0.5)


def test_nobody_ends_connections_by_a_signal_that_looks_like_the_bus_s(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        handle = await client.attach("o1")
        stranger = await buses.connect()
        fake = Message.new_signal(
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "NameOwnerChanged",
            "sss",
            [client.bus.unique_name, client.bus.unique_name, ""],
        )
        fake.destination = await buses.owner(client.bus, contract.BUS_NAME)
        await stranger.send(fake)
        # Asked by the same connection, so answered after the signal was taken.
        await buses.call(
            stranger, contract.BUS_NAME, contract.PATH, "org.freedesktop.DBus.Introspectable", "Introspect"
        )
        stranger.disconnect()
        assert (await client.ask(contract.LOOK, handle))[0] == ""

    with_manager(tmp_path / "acl.toml", body)


def test_a_device_that_tells_change_after_change_is_held_back(tmp_path: Path) -> None:
    """Each would be news for all masters; what is no change, and what others tell, goes on."""

    async def body(_service: BusService, client: Client) -> None:
        flooding, other = await client.attach("o1"), await client.attach("o2")
        for number in range(CHANGES_AT_ONCE):
            await client.ask(contract.SET_FACT, flooding, "hostname", f"name {number}")
        with pytest.raises(Busy, match="too many changes"):
            for number in range(CHANGES_AT_ONCE):
                await client.ask(contract.SET_FACT, flooding, "hostname", f"another {number}")
        (row,) = [row for row in map(json.loads, await client.ask(contract.LIST_ONLINE)) if row["id"] == "o1"]
        await client.ask(contract.SET_FACT, flooding, "hostname", row["hostname"])
        await client.ask(contract.SET_FACT, other, "hostname", "new")

    with_manager(tmp_path / "acl.toml", body)


def test_a_newer_connection_takes_over_and_the_older_one_is_told(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        old = await client.attach("o1")
        new = await client.attach("o1")
        handle, line = await client.signal("Ended")
        assert handle == old
        assert line.startswith("*** TakenOver: taken over by a newer connection of the same account; ")
        with pytest.raises(NotAllowed):
            await client.ask(contract.LOOK, old)
        await client.ask(contract.DETACH, old)  # its end is told late, and ends nobody else
        assert await client.ask(contract.LOOK, new)

    with_manager(tmp_path / "acl.toml", body)


def test_a_master_s_revision_changes_with_what_it_may_see(tmp_path: Path) -> None:
    acl = tmp_path / "acl.toml"
    acl.write_text('[[rule]]\nmaster = "m1"\nonsite = "o1"\n')

    async def body(_service: BusService, client: Client) -> None:
        first, second = await client.attach("m1"), await client.attach("m2")

        async def revisions() -> tuple[int, int]:
            return (await client.ask(contract.LOOK, first))[1], (await client.ask(contract.LOOK, second))[1]

        seen = [await revisions()]
        onsite = await client.attach("o1")
        seen.append(await revisions())
        await client.ask(contract.SET_FACT, onsite, "lan", "10.0.0.2/24")
        seen.append(await revisions())
        await client.ask(contract.SET_FACT, onsite, "lan", "10.0.0.2/24")  # nothing new
        seen.append(await revisions())
        await client.ask(contract.DETACH, onsite)
        seen.append(await revisions())
        assert len({row[0] for row in seen}) == 4 and seen[2][0] == seen[3][0]
        assert len({row[1] for row in seen}) == 1

    with_manager(acl, body)


def test_a_master_sees_and_reaches_only_what_the_rules_allow(tmp_path: Path) -> None:
    acl = tmp_path / "acl.toml"
    acl.write_text('[[rule]]\nmaster = "*"\nonsite = "o1"\n')

    async def body(_service: BusService, client: Client) -> None:
        await client.attach("o1")
        await client.attach("o2", told(ONLINE))
        master = await client.attach("m1")
        rows = [json.loads(row)["id"] for row in await client.ask(contract.LIST_ONSITES, master)]
        assert rows == ["o1"]
        for account in ("o2", "o3"):  # whether it is there is not told either
            with pytest.raises(NotOnline) as refused:
                await client.ask(contract.CONNECT, master, account, "")
            assert str(refused.value) == f"{account} is not online; the list of onsites shows which are"

    with_manager(acl, body)


def test_what_refuses_a_session_before_anything_is_made(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        onsite, master = await client.attach("o1"), await client.attach("m1")
        with pytest.raises(NotOnline):
            await client.ask(contract.CONNECT, master, "o2", "")
        with pytest.raises(NotOnline):
            await client.ask(contract.CONNECT, master, "m2", "")
        with pytest.raises(NotOnline, match="LAN address"):
            await client.ask(contract.CONNECT, master, "o1", "")
        for fact, text in told(ONLINE | {Fact.UPLINK: "wlan"}).items():
            await client.ask(contract.SET_FACT, onsite, fact, text)
        await client.ask(contract.SET_FACT, master, "mode", "L2")
        with pytest.raises(ModeNotPossible, match="wlan"):
            await client.ask(contract.CONNECT, master, "o1", "")
        with pytest.raises(UsageError):
            await client.ask(contract.CONNECT, master, "o1", "a\x1b[2Jb")
        with pytest.raises(NotAllowed):
            await client.ask(contract.CONNECT, onsite, "o1", "")
        for method in (contract.GET_VTUN_PARAMETERS, contract.REMOTE_IP_CONFIG):
            with pytest.raises(NoSession):
                await client.ask(method, master)
        with pytest.raises(NoSession):
            await client.ask(contract.DROP, master, "")
        assert await client.ask(contract.SESSION_STATUS, master) == {"state": "none"}
        with pytest.raises(NotFound):
            await client.ask(contract.DROP_SESSION, "o1", "")
        assert await client.ask(contract.LIST_SESSIONS) == []

    with_manager(tmp_path / "acl.toml", body)


def test_the_admin_disconnects_a_device(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        handle = await client.attach("o1")
        assert await client.ask(contract.DROP_DEVICE, "o1", "moved") is True
        ended, line = await client.signal("Ended")
        assert ended == handle and line.startswith("*** NotAllowed: ") and line.endswith("moved")
        assert await client.ask(contract.DROP_DEVICE, "o1", "") is False

    with_manager(tmp_path / "acl.toml", body)


def test_the_contract_is_told_to_people_with_busctl(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        node = await client.bus.introspect(contract.BUS_NAME, contract.PATH)
        members = {
            (interface.name, method.name): (method.in_signature, method.out_signature)
            for interface in node.interfaces
            for method in interface.methods
        }
        assert members == {(m.interface, m.member): (m.takes, m.gives) for m in contract.METHODS}

    with_manager(tmp_path / "acl.toml", body)
