"""What a shell service leaves to the next one: how each device's connection stands.

The connections themselves wait in systemd's descriptor store; how they stand goes
with them, in a file in memory, and the two are joined by the kernel's number of
the socket (rdv.peer.cookie). A connection of which nothing was told is closed,
and its device dials again.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from rdv import peer
from rdv.shell import descriptor_store
from vtunlib.tunnel import Role

KEPT_LIMIT = 4000
"""Connections that are handed over; the rest dials again. systemd compares each descriptor that
it stores with all that it has: 3,000 take it 3 s, 4,000 take 6 s. In tundev-shell.service:
FileDescriptorStoreMax= is more than this, TimeoutStopSec= is long enough for it."""

_CONNECTION = "c"
"""Name of each stored connection. One letter: all names go to the next process in one variable
of its environment, and over 128 KiB it could not be started (MAX_ARG_STRLEN, execve(2))."""
_STANDINGS = "standings"

log = logging.getLogger(__name__)


@dataclass
class Standing:
    """How a connection stands between two of its bytes: all of it that outlives a process."""

    cookie: int
    role: Role
    since: int
    """When it came, in seconds since the epoch."""
    greeted: bool = False
    """It was sent its first prompt."""
    facts: dict[str, str] = field(default_factory=dict)
    """What the device has told; for the manager's next start, too."""
    revision: int | None = None
    """Of what the device may see, when it last looked."""
    told: str = ""
    """The session that an onsite was told `ready` for, until it is told `reset`."""
    debug: bool = False
    """Its commands are told in the journal."""
    wait: list[str] = field(default_factory=list)
    """The command line, in words, of a wait that is under way; empty where none is."""
    ends: float = 0.0
    """When that wait ends, by the monotonic clock, which goes on over processes."""
    # As rdv.shell.lines.Lines has them; told only when the connection is at rest.
    unread: bytes = b""
    overlong: bool = False
    unsent: bytes = b""


def leave(connections: Sequence[tuple[socket.socket, Standing]]) -> None:
    """Put these connections into the store, for the next process. Raises RdvError."""
    kept = connections[:KEPT_LIMIT]
    for connection, _ in connections[KEPT_LIMIT:]:
        connection.close()
    if len(kept) < len(connections):
        lost = len(connections) - len(kept)
        log.warning("%d connections are handed over, %d have to dial again", len(kept), lost)
    file = os.memfd_create("rdv-standings")
    with os.fdopen(file, "wb") as stream:
        stream.write(encode(standing for _, standing in kept))
        stream.flush()
        # What is told comes first: without it a connection is worth nothing.
        descriptor_store.put(_STANDINGS, [file])
        descriptor_store.put(_CONNECTION, [connection.fileno() for connection, _ in kept])
        descriptor_store.settle()


def take(passed: dict[str, list[int]]) -> list[tuple[socket.socket, Standing]]:
    """What the former process left, of the descriptors that systemd has passed; in the order told.

    The store is empty afterwards: what it holds would stay open for ever.
    """
    files, numbers = passed.pop(_STANDINGS, []), passed.pop(_CONNECTION, [])
    if not files and not numbers:
        return []
    standings = {standing.cookie: standing for file in files for standing in _read(file)}
    connections: dict[int, socket.socket] = {}
    for number in numbers:
        connection = socket.socket(fileno=number)
        cookie = peer.cookie(connection)
        if cookie in standings:
            connections[cookie] = connection
        else:
            connection.close()
    descriptor_store.forget(_STANDINGS, _CONNECTION)
    log.info("%d connections go on, %d were lost", len(connections), len(numbers) - len(connections))
    return [(connections[c], standing) for c, standing in standings.items() if c in connections]


def _read(file: int) -> list[Standing]:
    with os.fdopen(file, "rb") as stream:
        stream.seek(0)
        try:
            return decode(stream.read())
        except (ValueError, TypeError) as error:  # another version's, perhaps
            log.warning("what the former process told cannot be read: %s", error)
            return []


def encode(standings: Iterable[Standing]) -> bytes:
    """As `decode` takes it."""
    rows = []
    for standing in standings:
        row = asdict(standing)
        row |= {name: value.decode("latin-1") for name, value in row.items() if isinstance(value, bytes)}
        rows.append(row)
    return json.dumps(rows).encode()


def decode(data: bytes) -> list[Standing]:
    """What was encoded, also by an older version, which told less.

    Raises ValueError or TypeError where this version cannot go on with it.
    """
    names = {one.name for one in fields(Standing)}
    standings = []
    for row in json.loads(data):
        if not isinstance(row, dict) or not set(row) <= names:
            raise ValueError(f"it tells {row!r:.200}")
        told: dict[str, Any] = {**row, "role": Role(row.get("role", ""))}
        told |= {name: row[name].encode("latin-1") for name in ("unread", "unsent") if name in row}
        standings.append(Standing(**told))
    return standings
