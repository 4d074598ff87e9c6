"""The audit survives the death of who writes it, in the middle of writing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from rdv.audit.store import Store
from tests.bench.audit_kills import kill_writers


def test_nothing_that_was_said_to_be_kept_is_lost_or_doubled_by_a_killed_writer(tmp_path: Path) -> None:
    losses = kill_writers(tmp_path / "audit.db", kills=8)
    assert losses.kept >= 8 and (losses.lost, losses.doubled) == (0, 0)
    database = sqlite3.connect(tmp_path / "audit.db")
    count, first, last = database.execute("SELECT count(*), min(id), max(id) FROM event").fetchone()
    database.close()
    assert (first, last) == (1, count)  # whole, and without a hole


def test_every_commit_is_synced_to_disk(tmp_path: Path) -> None:
    """A kill does not show what a power loss takes: what was written and not synced."""
    full = 2  # "WAL is synced after each transaction": sqlite.org/pragma.html#pragma_synchronous
    with Store(tmp_path / "audit.db") as store:
        assert store._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._database.execute("PRAGMA synchronous").fetchone() == (full,)
