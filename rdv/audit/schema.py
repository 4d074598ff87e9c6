"""The table of the audit store, and the triggers by which it refuses to be changed: SQL, and nothing else."""

from __future__ import annotations

VERSION = 1
"""PRAGMA user_version: the form of the table."""

# REPLACE would delete without the trigger on DELETE, hence the first trigger on INSERT.
SCHEMA = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    device TEXT NOT NULL,
    session TEXT NOT NULL,
    more TEXT NOT NULL CHECK (json_valid(more))
) STRICT;
CREATE INDEX IF NOT EXISTS event_at ON event (at);
CREATE INDEX IF NOT EXISTS event_kind ON event (kind, device);
CREATE INDEX IF NOT EXISTS event_device ON event (device);
CREATE INDEX IF NOT EXISTS event_master ON event (json_extract(more, '$.master'));
CREATE INDEX IF NOT EXISTS event_session ON event (session);
CREATE TRIGGER IF NOT EXISTS event_stays BEFORE UPDATE ON event BEGIN
    SELECT RAISE(ABORT, 'the audit is never changed');
END;
CREATE TRIGGER IF NOT EXISTS event_oldest_goes BEFORE DELETE ON event
WHEN OLD.id <> (SELECT min(id) FROM event) BEGIN
    SELECT RAISE(ABORT, 'only the oldest of the audit may go');
END;
CREATE TRIGGER IF NOT EXISTS event_not_replaced BEFORE INSERT ON event
WHEN EXISTS (SELECT 1 FROM event WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'the audit is never changed');
END;
CREATE TRIGGER IF NOT EXISTS event_last AFTER INSERT ON event
WHEN NEW.id <> (SELECT max(id) FROM event) BEGIN
    SELECT RAISE(ABORT, 'to the audit is only added');
END;
PRAGMA user_version = 1;
COMMIT;
"""
"""Run on an empty database, also by two processes at once. What is there already stays."""
