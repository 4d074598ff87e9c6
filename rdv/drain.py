"""Before maintenance: new sessions are refused, those that run live on.

It is a file in /run that root alone reads and writes, so it holds over a restart
of the manager, can be set while none runs, and a reboot ends it. Its text is the
reason.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from vtunlib import files
from vtunlib.errors import Draining, printable

FILE = Path("/run/rdv/drain")


@dataclass(frozen=True)
class Drain:
    """That new sessions are refused. reason: for the technicians, may be empty."""

    since: datetime.datetime
    reason: str


def now(path: Path = FILE) -> Drain | None:
    """Whether new sessions are refused now."""
    try:
        since, reason = path.stat().st_mtime, path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    return Drain(datetime.datetime.fromtimestamp(since, datetime.UTC), printable(reason.strip()))


def check(path: Path = FILE) -> None:
    """Raises Draining where new sessions are refused now."""
    drain = now(path)
    if drain is not None:
        why = f": {drain.reason}" if drain.reason else ""
        raise Draining(f"the RDV takes no new sessions for now{why}", "try again later")


def begin(reason: str, path: Path = FILE) -> bool:
    """Refuse new sessions from now on; whether that changed anything."""
    drain = now(path)
    if drain is not None and drain.reason == reason:
        return False
    files.replace(path, f"{reason}\n".encode(), mode=0o600)
    return True


def end(path: Path = FILE) -> bool:
    """Take new sessions again; whether that changed anything."""
    drained = path.exists()
    path.unlink(missing_ok=True)
    return drained
