"""What the manager records, and who hears it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rdv import contract
from rdv.access.in_force import AccessList
from rdv.audit.events import Event, Kind
from rdv.audit.forms import to_json, to_object
from rdv.audit.store import Store
from rdv.audit.writer import Recorder
from rdv.manager.bus_service import BusService
from rdv.manager.warnings import Warnings
from rdv.sessions.conductor import Conductor
from rdv.sessions.session import Session
from rdv.settings import Audit
from tests.bus.test_manager import ONLINE, Client, party, told, with_manager
from vtunlib import bus as buses
from vtunlib.errors import NotOnline, RdvError, SessionFailed

pytestmark = pytest.mark.usefixtures("system_bus")


def kept(directory: Path) -> list[Event]:
    """What is in the audit of the manager that ran there."""
    with Store(directory / "audit.db", read_only=True) as store:
        return list(store.read())


def test_each_coming_and_going_is_recorded_once_with_its_why(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        first = await client.attach("o1")
        second = await client.attach("o1")
        await client.ask(contract.DETACH, first)  # of who is gone already
        await client.ask(contract.DETACH, second)
        await client.attach("m1")
        await client.ask(contract.DROP_DEVICE, "m1", "stolen")

    with_manager(tmp_path / "acl.toml", body)
    rows = [(event.kind, event.device, event.more.get("why")) for event in kept(tmp_path)]
    assert rows == [
        (Kind.ONLINE, "o1", None),
        (Kind.OFFLINE, "o1", "o1 connected anew"),
        (Kind.ONLINE, "o1", None),
        (Kind.OFFLINE, "o1", "o1 went offline"),
        (Kind.ONLINE, "m1", None),
        (Kind.OFFLINE, "m1", "m1 was disconnected by the RDV's admin: stolen"),
    ]


def test_a_connection_that_another_shell_goes_on_with_is_nothing_new(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        other = Client(await buses.connect(negotiate_unix_fd=True))
        with client.dialled("o1") as connection:
            await other.attach_socket(connection, "o1")
            await other.ask(contract.HAND_OVER)
            other.bus.disconnect()
            await client.attach_socket(connection, "o1")

    with_manager(tmp_path / "acl.toml", body, grace=60.0)
    assert [event.kind for event in kept(tmp_path)] == [Kind.ONLINE]


def test_who_is_refused_a_session_is_recorded_with_the_error(tmp_path: Path) -> None:
    acl = tmp_path / "acl.toml"
    acl.write_text('[[rule]]\nmaster = "*"\nonsite = "o1"\n')

    async def body(_service: BusService, client: Client) -> None:
        master = await client.attach("m1")
        with pytest.raises(NotOnline):
            await client.ask(contract.CONNECT, master, "o1", "")
        with pytest.raises(
            NotOnline
        ):  # whether there is one is not for the master; why it was is for the admin
            await client.ask(contract.CONNECT, master, "o2" * 100, "")

    with_manager(acl, body)
    refused = [event for event in kept(tmp_path) if event.kind is Kind.SESSION_REFUSED]
    rows = [(event.device, event.more["master"], event.more["error"]) for event in refused]
    assert rows == [("o1", "m1", "NotOnline"), (("o2" * 32), "m1", "NotAllowed")]


def test_what_is_recorded_is_told_as_it_is_shown(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []

    async def body(_service: BusService, client: Client) -> None:
        came: asyncio.Queue[str] = asyncio.Queue()
        client.bus.add_message_handler(
            lambda message: came.put_nowait(message.body[0]) if message.member == "Event" else None
        )
        handle = await client.attach("o1")
        await client.ask(contract.DETACH, handle)
        heard.extend([json.loads(await came.get()) for _ in range(2)])

    with_manager(tmp_path / "acl.toml", body)
    assert heard == [to_object(event) for event in kept(tmp_path)]


def test_without_an_audit_devices_come_online_and_sessions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "audit.db").mkdir()  # nothing can be kept, as on a full disk

    async def body(_service: BusService, client: Client) -> None:
        onsite, master = await client.attach("o1", told(ONLINE)), await client.attach("m1")
        with pytest.raises(SessionFailed, match=r"cannot record sessions now.*rdv-admin status"):
            await client.ask(contract.CONNECT, master, "o1", "")
        assert len(await client.ask(contract.LIST_ONLINE)) == 2
        assert await client.ask(contract.LIST_SESSIONS) == []
        assert (await client.ask(contract.LOOK, onsite))[0] == ""

    with_manager(tmp_path / "acl.toml", body)


def test_a_session_that_breaks_off_by_an_error_of_ours_is_over_and_its_end_recorded(tmp_path: Path) -> None:
    def broken(_session: Session) -> None:
        raise ValueError("an error of ours")

    async def body(service: BusService, client: Client) -> None:
        await client.attach("o1", told(ONLINE))
        await client.attach("m1")
        master = service.registry.online("m1")
        assert master is not None
        audit = Recorder(Audit(), Warnings(), tmp_path / "other" / "audit.db")
        ended = asyncio.Event()
        audit.listen(lambda event: ended.set() if event.kind is Kind.SESSION_ENDED else None)
        audit.start()
        access = AccessList(party, tmp_path / "acl.toml", tmp_path / "kept.toml")
        conductor = Conductor(service.registry, access, broken, audit)
        with pytest.raises(SessionFailed):  # here is no systemd that could make a namespace
            await conductor.connect(master, "o1", "")
        await ended.wait()
        assert conductor.of("o1") is None
        assert "could not be set up" in conductor.ended["o1"]
        await audit.close()

    with_manager(tmp_path / "acl.toml", body)
    kinds = [event.kind for event in kept(tmp_path / "other")]
    assert kinds == [Kind.SESSION_OPENED, Kind.SESSION_ENDED]


def test_what_the_admin_s_command_has_recorded_is_told_to_who_listens(tmp_path: Path) -> None:
    async def body(_service: BusService, client: Client) -> None:
        event = Event(Kind.DEVICE_DISABLED, "o1")
        await client.ask(contract.RECORDED, to_json(event))
        assert await client.signal("Event") == [to_json(event)]
        for text in ("", "[]", '{"kind": "online"}', to_json(event).replace("device-disabled", "nonsense")):
            with pytest.raises(RdvError):
                await client.ask(contract.RECORDED, text)

    with_manager(tmp_path / "acl.toml", body)
    assert kept(tmp_path) == []  # it was recorded by who did it
