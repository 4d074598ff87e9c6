"""The audit store: one table in SQLite, to which is only ever added.

A commit is on disk when it returns, also if power fails next (WAL, synchronous=FULL).
That nothing is changed afterwards the database holds itself, by triggers, whoever
opens it; what goes is the oldest, when it is too old or too much. Several processes
may write.
"""

from __future__ import annotations

import datetime
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rdv.audit.events import Event, Kind
from rdv.audit.forms import instant, to_event, to_values
from rdv.audit.schema import SCHEMA, VERSION
from vtunlib.errors import NotFound, RdvError

PATH = Path("/var/lib/rdv/audit.db")

BUSY_SECONDS = 5.0
"""How long another process that is writing is waited for."""
PORTION = 5_000
"""How many of the oldest go in one transaction: some tenths of a second."""
_MIB = 1 << 20
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class StoreFailed(RdvError):
    """The audit store cannot be opened, read or written."""


class StoreDamaged(StoreFailed):
    """Its file is no database, or one that is not whole."""


@dataclass(frozen=True)
class Seen:
    """What was kept last of a device's coming and going."""

    online: bool
    """Which of the two was the last."""
    since: datetime.datetime
    """When that was: for a device that is offline, when it was last seen."""
    address: str
    """From where it last came; empty where that is not known."""
    connection: str
    """Which connection it last came by (rdv.audit.presence); empty where that is not known."""
    transport: str = ""
    """How it last came: ssh or tls; empty where that is not known."""


class Store:
    """An open store; one thread at a time may use it. A context manager."""

    def __init__(self, path: Path = PATH, *, read_only: bool = False) -> None:
        """Open it; without read_only it is made where it is missing, for root alone.

        Raises NotFound (read_only, and nothing was ever kept), StoreFailed, StoreDamaged.
        """
        self.path = path
        if read_only and not path.exists():
            raise NotFound(f"there is no audit yet at {path}", "the manager makes it when it starts")
        with self._told("opened"):
            if not read_only:
                _make_file(path)
            # Not created by SQLite: it would be everybody's to read.
            uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
            self._file = _identity(path)
            self._database = sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with self._told("opened"):
                self._prepare(read_only)
        except BaseException:
            self._database.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        version = self._number("PRAGMA user_version")
        if version > VERSION or (version < VERSION and read_only):
            raise StoreFailed(
                f"{self.path} has the form {version}, and {VERSION} is known here",
                "it was made by another version of rdv-server",
            )
        if not read_only:
            if version < VERSION:
                self._database.executescript(SCHEMA)
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute(f"PRAGMA journal_size_limit = {4 * _MIB}")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was appended is on disk already."""
        self._database.close()

    def in_place(self) -> bool:
        """Whether its file is still there under its name; SQLite would write on into a deleted one."""
        try:
            return _identity(self.path) == self._file
        except OSError:
            return False

    def append(self, events: Iterable[Event]) -> None:
        """Keep these, all or none; on disk when it returns. Raises StoreFailed, StoreDamaged."""
        with self._told("written"), self._transaction():
            self._database.executemany(
                "INSERT INTO event (at, kind, device, session, more) VALUES (?, ?, ?, ?, ?)",
                [to_values(event) for event in events],
            )

    def read(
        self,
        *,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        device: str = "",
        kinds: Sequence[Kind] = (),
        session: str = "",
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Event]:
        """What was kept, in the order in which it was; limit: the newest so many.

        since is included, until is not. device: also as the master of a session.
        Raises StoreFailed, StoreDamaged.
        """
        terms: list[tuple[str, tuple[object, ...]]] = []
        if since is not None:
            # Found by the index on at, read in the order in which they were kept.
            terms.append(("id >= (SELECT min(id) FROM event WHERE at >= ?)", (instant(since),)))
            terms.append(("at >= ?", (instant(since),)))
        if until is not None:
            terms.append(("at < ?", (instant(until),)))
        if device:
            terms.append(("(device = ? OR json_extract(more, '$.master') = ?)", (device, device)))
        if session:
            terms.append(("session = ?", (session,)))
        if kinds:
            terms.append((f"kind IN ({', '.join('?' * len(kinds))})", tuple(map(str, kinds))))
        where = f"WHERE {' AND '.join(term for term, _ in terms)}" if terms else ""
        values = [value for _, given in terms for value in given]
        rows = f"SELECT * FROM event {where} ORDER BY id"  # noqa: S608  # fixed words; values are bound
        if limit is not None:
            rows = f"SELECT * FROM ({rows} DESC LIMIT ?) ORDER BY id"  # noqa: S608  # the same
            values.append(limit)
        with self._told("read"):
            for row in self._database.execute(f"{rows} DESC" if newest_first else rows, values):
                yield to_event(row)

    def last_seen(self) -> dict[str, Seen]:
        """By account: whether and since when each device is online. Raises StoreFailed, StoreDamaged."""
        # The inner one is answered by the index alone, without looking at all that ever came and went.
        query = """SELECT * FROM event WHERE id IN (
            SELECT max(id) FROM event WHERE kind IN (?, ?) GROUP BY kind, device
        ) ORDER BY id"""
        seen: dict[str, Seen] = {}
        with self._told("read"):
            for row in self._database.execute(query, (str(Kind.ONLINE), str(Kind.OFFLINE))):
                event = to_event(row)
                former = seen.get(event.device)
                came = event.kind is Kind.ONLINE
                seen[event.device] = Seen(
                    online=came,
                    since=event.at,
                    address=_word(event, "address") if came else former.address if former else "",
                    transport=_word(event, "transport") if came else former.transport if former else "",
                    connection=_word(event, "connection") if came else former.connection if former else "",
                )
        return seen

    def unended(self) -> list[Event]:
        """The session-opened of each session without a session-ended. Raises StoreFailed, StoreDamaged."""
        query = """SELECT * FROM event AS opened WHERE kind = ? AND NOT EXISTS (
            SELECT 1 FROM event WHERE session = opened.session AND kind = ? AND id > opened.id
        ) ORDER BY id"""
        with self._told("read"):
            rows = self._database.execute(query, (str(Kind.SESSION_OPENED), str(Kind.SESSION_ENDED)))
            return [to_event(row) for row in rows]

    def prune(self, keep_days: int, max_mib: int) -> int:
        """Let go of what is older than keep_days, and of the oldest while more than max_mib are used.

        At most PORTION at a time, for nobody else can write meanwhile: to be called
        again as long as some went, which it returns. Raises StoreFailed, StoreDamaged.
        """
        edge = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=keep_days)
        with self._told("pruned"), self._transaction():
            first = self._number("SELECT min(id) FROM event")
            count = self._number("SELECT max(id) FROM event") - first + 1 if first else 0
            # Up to the first that is young enough: a clock that was once wrong makes no hole.
            young = self._number(
                "SELECT min(id) FROM (SELECT id, at FROM event ORDER BY id LIMIT ?) WHERE at >= ?",
                PORTION,
                instant(edge),
            )
            number = young - first if young else min(PORTION, count)
            if self._used() > max_mib * _MIB:
                number = max(number, min(PORTION, 1 + count // 10))
            self._database.execute("DELETE FROM event WHERE id < ?", (first + number,))
        if number:
            with self._told("pruned"):
                # A page at each step: execute() would take only the first.
                self._database.executescript("PRAGMA incremental_vacuum")
        return number

    def check(self) -> None:
        """Look whether it is whole. Raises StoreDamaged, StoreFailed."""
        with self._told("checked"):
            (found,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StoreDamaged(f"{self.path} is damaged: {found}", _HINT_DAMAGED)

    def _used(self) -> int:
        pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return pages * self._number("PRAGMA page_size")

    def _number(self, query: str, *values: object) -> int:
        row = self._database.execute(query, values).fetchone()
        return int(row[0] or 0)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # some errors of SQLite roll back by themselves
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        """Turn what SQLite and the file system say into errors that a person understands."""
        try:
            yield
        except sqlite3.Error as error:
            # Errors of Python's module itself have no code.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _DAMAGED:
                raise StoreDamaged(f"{self.path} is damaged: {error}", _HINT_DAMAGED) from None
            raise StoreFailed(f"the audit {self.path} cannot be {done}: {error}", _HINT_FAILED) from None
        except OSError as error:
            raise StoreFailed(
                f"the audit {self.path} cannot be {done}: {error.strerror}", _HINT_FAILED
            ) from None


_HINT_DAMAGED = "'systemctl restart vtun-manager' sets it aside and begins a new one"
_HINT_FAILED = "look whether its file system is full or read-only"


def keep(event: Event, path: Path = PATH) -> None:
    """Keep one event, for a process that ends soon. Raises StoreFailed, StoreDamaged."""
    with Store(path) as store:
        store.append([event])


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _make_file(path: Path) -> None:
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # its name is on disk before the first event in it
    finally:
        os.close(directory)


def _word(event: Event, key: str) -> str:
    return str(event.more.get(key, ""))
