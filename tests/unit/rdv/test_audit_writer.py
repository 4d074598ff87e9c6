"""Keeping events: certainty where it is asked for, and no wait where it is not."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rdv.audit import flood, writer
from rdv.audit.events import Event, Kind
from rdv.audit.flood import Flood
from rdv.audit.presence import Presence
from rdv.audit.store import PORTION, Seen, Store, StoreFailed
from rdv.audit.writer import Recorder
from rdv.devices import Device
from rdv.manager.registry import Connection
from rdv.manager.warnings import Warnings
from rdv.settings import Audit
from tests.lab.host import wait_until
from vtunlib.tunnel import Role

OLD = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=Audit().keep_days + 1)
"""When something happened that is not to be kept any more."""


def with_recorder(path: Path, body: Callable[[Recorder], Awaitable[None]]) -> list[str]:
    """Run `body` with a recorder for that store; returns the keys of the warnings that stand at the end."""
    warnings = Warnings()

    async def main() -> None:
        recorder = Recorder(Audit(), warnings, path)
        recorder.start()
        async with asyncio.timeout(20):
            await body(recorder)
        await recorder.close()

    asyncio.run(main())
    return [warning.key for warning in warnings]


async def until(seen: Callable[[], bool]) -> None:
    """Wait for it; that it happens by itself is what is tested, so nothing tells of it."""
    await asyncio.to_thread(wait_until, seen, what="it", deadline=15, every=0.02)


def devices(path: Path) -> list[str]:
    with Store(path, read_only=True) as store:
        return [event.device for event in store.read()]


def online(device: str) -> Event:
    return Event(Kind.ONLINE, device)


def test_all_that_was_recorded_is_kept_in_its_order_when_it_closes(tmp_path: Path) -> None:
    async def body(recorder: Recorder) -> None:
        for number in range(1000):
            recorder.record(online(f"o{number}"))

    assert with_recorder(tmp_path / "audit.db", body) == []
    assert devices(tmp_path / "audit.db") == [f"o{number}" for number in range(1000)]


def test_what_must_be_kept_is_on_disk_when_it_is_said_to_be(tmp_path: Path) -> None:
    async def body(recorder: Recorder) -> None:
        recorder.record(online("o1"))
        await recorder.keep(online("o2"))
        assert devices(tmp_path / "audit.db") == ["o1", "o2"]

    assert with_recorder(tmp_path / "audit.db", body) == []


def test_who_listens_hears_what_is_kept_and_not_what_was_refused(tmp_path: Path) -> None:
    heard: list[str] = []

    async def body(recorder: Recorder) -> None:
        recorder.listen(lambda event: heard.append(event.device))
        recorder.record(online("o1"))
        with pytest.raises(StoreFailed):
            await recorder.keep(online("o2"))

    (tmp_path / "audit.db").mkdir()
    with_recorder(tmp_path / "audit.db", body)
    assert heard == ["o1"]


def test_a_store_that_cannot_be_written_is_a_warning_and_what_waits_is_kept_when_it_can(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.db"
    path.mkdir()

    async def body(recorder: Recorder) -> None:
        recorder.record(online("o1"))
        with pytest.raises(StoreFailed, match="cannot be opened"):
            await recorder.keep(Event(Kind.SESSION_OPENED, "never"))
        assert [warning.key for warning in recorder._warnings] == ["audit"]
        path.rmdir()
        await recorder.keep(online("o2"))

    assert with_recorder(path, body) == []
    assert devices(path) == ["o1", "o2"]


def test_what_waits_is_tried_again_though_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.05)
    path = tmp_path / "audit.db"
    path.mkdir()

    async def body(recorder: Recorder) -> None:
        recorder.record(online("o1"))
        await until(lambda: bool(list(recorder._warnings)))
        path.rmdir()
        await until(lambda: not list(recorder._warnings))
        assert devices(path) == ["o1"]

    assert with_recorder(path, body) == []


def test_time_alone_lets_go_of_what_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PRUNE_SECONDS", 0.05)
    path = tmp_path / "audit.db"

    async def body(recorder: Recorder) -> None:
        await recorder.ask(lambda store: store.append([]))  # what is done at the start is done
        with Store(path) as store:
            store.append([Event(Kind.ONLINE, "old", at=OLD)])
        await until(lambda: not devices(path))

    assert with_recorder(path, body) == []


def test_a_disk_that_hangs_is_not_waited_for_and_what_was_given_up_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAIT_SECONDS", 1.0)
    path, hangs, ends = tmp_path / "audit.db", threading.Event(), threading.Event()

    def hang(_store: Store) -> None:
        hangs.set()
        ends.wait(20)

    async def body(recorder: Recorder) -> None:
        await recorder.keep(online("o1"))
        hanging = asyncio.ensure_future(recorder.ask(hang))
        await asyncio.to_thread(hangs.wait, 20)
        with pytest.raises(StoreFailed, match="not written within"):
            await recorder.keep(Event(Kind.SESSION_OPENED, "never"))
        assert [warning.key for warning in recorder._warnings] == ["audit"]
        recorder.record(online("o2"))
        ends.set()
        with pytest.raises(StoreFailed):
            await hanging
        await recorder.keep(online("o3"))

    assert with_recorder(path, body) == []
    assert devices(path) == ["o1", "o2", "o3"]


def test_a_deleted_store_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "rdv" / "audit.db"

    async def body(recorder: Recorder) -> None:
        await recorder.keep(online("o1"))
        shutil.rmtree(path.parent)
        await recorder.keep(online("o2"))

    with_recorder(path, body)
    assert devices(path) == ["o2"]


def test_what_is_too_old_goes_by_itself_at_the_start(tmp_path: Path) -> None:
    with Store(tmp_path / "audit.db") as store:
        store.append(Event(Kind.ONLINE, f"o{number}", at=OLD) for number in range(2 * PORTION + 1))

    async def body(recorder: Recorder) -> None:
        await recorder.keep(online("new"))
        while len(await recorder.ask(lambda store: list(store.read(limit=2)))) > 1:
            pass

    with_recorder(tmp_path / "audit.db", body)
    assert devices(tmp_path / "audit.db") == ["new"]


@pytest.mark.parametrize("harm", ["no database", "a page lost"])
def test_a_damaged_store_is_set_aside_and_a_new_one_begun(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "audit.db"
    with Store(path) as store:
        store.append(online(f"o{number}") for number in range(3000))
    with path.open("r+b") as file:
        file.seek(0 if harm == "no database" else path.stat().st_size // 2)
        file.write(b"\xa5" * 8192)

    async def body(recorder: Recorder) -> None:
        await recorder.keep(online("new"))

    assert with_recorder(path, body) == ["audit-damaged"]
    assert devices(path) == ["new"]
    (aside,) = [file for file in tmp_path.iterdir() if ".damaged-" in file.name and file.suffix != "-wal"]
    assert b"o1500" in aside.read_bytes() and aside.stat().st_mode & 0o777 == 0o600


def test_a_flood_of_refusals_is_thinned_and_counted() -> None:
    gate = Flood()
    refusal = Event(Kind.REFUSED, more={"why": "no such account"})
    passed = [gate.passed(refusal, now=1000 + number / 1000) for number in range(5000)]
    assert sum(event is not None for event in passed) == flood.BURST
    assert gate.passed(online("o1"), now=1005) is not None
    later = gate.passed(refusal, now=1006 + 1 / flood.PER_SECOND)
    assert later is not None and later.more["left_out"] == 5000 - flood.BURST


def connection(account: str, cookie: int) -> Connection:
    return Connection(Device(account, Role.ONSITE), 1000, ":1.5", cookie)


def seen(connection: str, *, online: bool = True) -> Seen:
    return Seen(online, Event(Kind.ONLINE).at, "", connection)


def shown(events: list[Event]) -> list[tuple[str, str]]:
    return [(str(event.kind), event.device) for event in events]


def test_a_device_that_stayed_connected_over_the_manager_s_restart_is_no_news() -> None:
    first = Presence("boot1")
    (came,) = first.came(connection("o1", 7))
    second = Presence("boot1")
    assert second.found({"o1": seen(str(came.more["connection"]))}) == []
    assert second.came(connection("o1", 7)) == []
    assert second.given_up() == []
    assert shown(second.went(connection("o1", 7), "gone")) == [("offline", "o1")]


def test_who_came_and_went_while_no_manager_ran_is_told_afterwards() -> None:
    presence = Presence("boot1")
    stood = {"o1": seen("boot1-7"), "o2": seen("boot1-8"), "o3": seen("boot1-9", online=False)}
    assert presence.found(stood) == []
    assert shown(presence.came(connection("o1", 70))) == [("offline", "o1"), ("online", "o1")]
    assert shown(presence.came(connection("o3", 9))) == [("online", "o3")]
    assert shown(presence.given_up()) == [("offline", "o2")]
    assert presence.given_up() == []


def test_nobody_stays_online_over_a_restart_of_the_machine() -> None:
    """Numbers of sockets count anew, so the same number is another connection."""
    presence = Presence("boot2")
    assert shown(presence.found({"o1": seen("boot1-7"), "o2": seen("")})) == [
        ("offline", "o1"),
        ("offline", "o2"),
    ]
    assert shown(presence.came(connection("o1", 7))) == [("online", "o1")]
