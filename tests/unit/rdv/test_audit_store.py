"""The audit store: what was kept stays as it was, whoever opens it, and the oldest goes first."""

from __future__ import annotations

import datetime
import os
import sqlite3
from pathlib import Path

import pytest

from rdv.audit.events import Event, Kind
from rdv.audit.schema import SCHEMA, VERSION
from rdv.audit.store import Store, StoreDamaged, StoreFailed
from vtunlib.errors import NotFound

NOON = datetime.datetime(2026, 11, 1, 12, 0, tzinfo=datetime.UTC)


def hours(count: float) -> datetime.datetime:
    """So many after noon."""
    return NOON + datetime.timedelta(hours=count)


def session_rows() -> list[Event]:
    return [
        Event(Kind.ONLINE, "o1", at=hours(0), more={"address": "192.0.2.7", "connection": "b-1"}),
        Event(Kind.SESSION_OPENED, "o1", "0123abcd", {"master": "m1", "reason": "für Bühler 'x'"}, hours(1)),
        Event(Kind.SESSION_ENDED, "o1", "0123abcd", {"master": "m1", "to_onsite": 7}, hours(2)),
        Event(Kind.OFFLINE, "o1", at=hours(3), more={"why": "gone"}),
        Event(Kind.ONLINE, "o2", at=hours(4)),
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a store with these events."""
    path = tmp_path / "rdv" / "audit.db"
    with Store(path) as store:
        store.append(session_rows())
    return path


def test_what_was_kept_is_read_back_as_it_was(path: Path) -> None:
    with Store(path, read_only=True) as store:
        assert list(store.read()) == session_rows()
        assert [event.at for event in store.read(newest_first=True)] == [hours(n) for n in (4, 3, 2, 1, 0)]


def test_it_is_asked_by_time_device_kind_and_session(path: Path) -> None:
    rows = session_rows()
    with Store(path, read_only=True) as store:
        assert list(store.read(since=hours(1), until=hours(3))) == rows[1:3]
        assert list(store.read(device="o1")) == rows[:4]
        assert list(store.read(device="m1")) == rows[1:3]  # as the master of a session
        assert list(store.read(kinds=[Kind.ONLINE, Kind.OFFLINE], limit=2)) == rows[3:]
        assert list(store.read(session="0123abcd", kinds=[Kind.SESSION_ENDED])) == rows[2:3]
        assert list(store.read(device="x' OR '1' = '1")) == []


def test_when_each_device_was_last_seen(path: Path) -> None:
    with Store(path, read_only=True) as store:
        seen = store.last_seen()
    assert (seen["o1"].online, seen["o1"].since, seen["o1"].address) == (False, hours(3), "192.0.2.7")
    assert (seen["o2"].online, seen["o2"].since, seen["o1"].connection) == (True, hours(4), "b-1")


def test_sessions_without_an_end_are_known(path: Path) -> None:
    with Store(path) as store:
        assert store.unended() == []
        opened = Event(Kind.SESSION_OPENED, "o2", "89abcdef", {"master": "m1"}, hours(5))
        again = Event(Kind.SESSION_OPENED, "o1", "0123abcd", {"master": "m2"}, hours(6))
        store.append([opened, again])  # the same id once more is another session
        assert store.unended() == [opened, again]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET device = 'nobody' WHERE id = 2",
        "DELETE FROM event WHERE id = 2",
        "DELETE FROM event WHERE id > 2",
        "INSERT OR REPLACE INTO event VALUES (2, 'now', 'offline', 'x', '', '{}')",
        "INSERT OR REPLACE INTO event VALUES (5, 'now', 'offline', 'x', '', '{}')",
        "INSERT INTO event VALUES (-3, 'now', 'offline', 'x', '', '{}')",
        "INSERT INTO event (at, kind, device, session, more) VALUES ('now', 'offline', 'x', '', 'no JSON')",
    ],
)
def test_the_database_itself_refuses_to_change_what_was_kept(path: Path, statement: str) -> None:
    """For any program that opens it, not for this one alone."""
    database = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError), database:
        database.execute(statement)
    database.close()
    with Store(path, read_only=True) as store:
        assert list(store.read()) == session_rows()


def test_text_that_no_file_can_hold_is_kept_as_well_as_it_can(path: Path) -> None:
    with Store(path) as store:
        store.append([Event(Kind.REFUSED, "\udcff\x1b[2J", more={"why": "\udcff"})])
        (event,) = store.read(kinds=[Kind.REFUSED])
    assert (event.device, event.more["why"]) == ("?\x1b[2J", "?")


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    ages = [Event(Kind.ONLINE, f"o{days}", at=now - datetime.timedelta(days=days)) for days in (40, 31, 29)]
    with Store(tmp_path / "audit.db") as store:
        store.append(ages)
        assert store.prune(keep_days=30, max_mib=1) == 2
        assert [event.device for event in store.read()] == ["o29"]
        assert store.prune(keep_days=30, max_mib=1) == 0
        assert store.prune(keep_days=1, max_mib=1) == 1
        assert list(store.read()) == []


def test_what_is_too_much_goes_the_oldest_first_and_the_file_shrinks(tmp_path: Path) -> None:
    path, size = tmp_path / "audit.db", 12_000
    with Store(path) as store:
        store.append(Event(Kind.ONLINE, f"o{n}", more={"address": "192.0.2.1" * 10}) for n in range(size))
    before = path.stat().st_size
    with Store(path) as store:
        gone = 0
        while went := store.prune(keep_days=365, max_mib=1):
            gone += went
        left = [event.device for event in store.read()]
    assert left == [f"o{n}" for n in range(gone, size)]
    assert 0 < gone < size and path.stat().st_size <= 1 << 20 < before


def test_it_is_root_s_alone(path: Path) -> None:
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with Store(path) as store:
        store.append([Event(Kind.DRAIN)])
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(modes, 0o600) and len(modes) == 3


def test_nothing_kept_yet_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no audit yet"):
        Store(tmp_path / "audit.db", read_only=True)
    assert not (tmp_path / "audit.db").exists()


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "audit.db").write_text("these are not the events that you are looking for" * 100)
    for read_only in (True, False):
        with pytest.raises(StoreDamaged, match=r"audit\.db is damaged.*restart"):
            Store(tmp_path / "audit.db", read_only=read_only)


def test_a_page_that_was_overwritten_is_found(path: Path) -> None:
    with Store(path) as store:
        store.check()
        store.append(Event(Kind.ONLINE, f"o{n}") for n in range(2000))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(8192))
    with pytest.raises(StoreDamaged), Store(path) as store:
        store.check()


def test_the_form_that_is_made_is_the_form_that_is_known() -> None:
    assert f"PRAGMA user_version = {VERSION};" in SCHEMA


def test_a_store_of_another_version_is_left_alone(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    for read_only in (True, False):
        with pytest.raises(StoreFailed, match="another version"):
            Store(path, read_only=read_only)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="cannot be opened"):
        Store(tmp_path / "file" / "audit.db")


def test_each_question_finds_its_rows_by_an_index(path: Path) -> None:
    with Store(path, read_only=True) as store:
        plans: list[str] = []
        store._database.set_trace_callback(plans.append)
        list(store.read(since=hours(1)))
        list(store.read(device="o1"))
        list(store.read(session="0123abcd"))
        store._database.set_trace_callback(None)
        for query in plans:
            steps = store._database.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
            assert steps and all("SCAN" not in step[3] for step in steps), (query, steps)
