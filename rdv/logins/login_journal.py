"""Follows the journal of rdv-sshd and rdv-stunnel, in the loop of who wants to hear it.

systemd's journal tells by a descriptor that there is more (sd_journal_get_fd(3)): nothing
polls. Which unit and process a line is from is the journal's own word, not the line's.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rdv.logins import login_lines
from rdv.logins.login_lines import Line, Refused, Stranger

SSHD = "rdv-sshd.service"
STUNNEL = "rdv-stunnel.service"
BACK_SECONDS = 600.0
"""How far back is read at the start: who logged in while the manager was restarted."""
MOST_BACK_SECONDS = 86400.0
"""How far back refusals are read that nobody has heard: a manager was stopped for so long at the most."""
AT_ONCE = 500
"""Lines that are taken before others in the loop have their turn."""

log = logging.getLogger(__name__)


class LoginJournal:
    """The open journal; `hear` is told of each line.

    Of what was written before, who is logged in, and the refusals since `unheard` (seconds
    since the epoch): those before were told when they were new.
    """

    def __init__(self, hear: Callable[[Line], None], back: float, unheard: float) -> None:
        # Here, for only the manager needs it.
        from systemd import journal

        self._hear = hear
        self._reader: Any = journal.Reader(journal.SYSTEM)
        # sshd's own processes are root's: nothing that a device's account runs is listened to.
        self._reader.add_match(SYSLOG_IDENTIFIER="sshd", _UID="0")
        self._reader.add_disjunction()
        self._reader.add_match(_SYSTEMD_UNIT=STUNNEL)
        now = time.time()
        self._unheard = max(unheard, now - MOST_BACK_SECONDS)
        self._reader.seek_realtime(min(now - back, self._unheard))
        self._loop = asyncio.get_running_loop()
        # Before the first line is read: what is written meanwhile is told by the descriptor.
        self._descriptor: int = self._reader.fileno()

    def start(self) -> None:
        """Tell what is there, and from now on what comes."""
        self._loop.add_reader(self._descriptor, self._more)
        self._read()

    def close(self) -> None:
        """Hear no more."""
        self._loop.remove_reader(self._descriptor)
        self._reader.close()

    def _more(self) -> None:
        self._reader.process()
        self._read()

    def _read(self) -> None:
        for _ in range(AT_ONCE):
            entry = self._reader.get_next()
            if not entry:
                return
            line = of_entry(entry)
            if line is None or (isinstance(line, Refused | Stranger) and self._was_told(entry)):
                continue
            self._hear(line)
        self._loop.call_soon(self._read)

    def _was_told(self, entry: dict[str, Any]) -> bool:
        written: datetime.datetime = entry["__REALTIME_TIMESTAMP"]
        return written.timestamp() < self._unheard


def of_entry(entry: dict[str, Any]) -> Line | None:
    """What an entry of the journal tells."""
    message, pid = entry.get("MESSAGE"), entry.get("_PID")
    if not isinstance(message, str):
        return None  # bytes that are no text
    unit = entry.get("_SYSTEMD_UNIT")
    if unit == STUNNEL:
        return login_lines.of_stunnel(message)
    # Of a process that has ended before the journal looked at it, as one that refused somebody, the
    # journal knows neither unit nor program, only that it was root's. The host's own sshd has a unit.
    ours = (unit, entry.get("_COMM")) in ((SSHD, "sshd"), (None, None))
    return login_lines.of_sshd(message, pid) if ours and isinstance(pid, int) else None


@contextmanager
def following(
    hear: Callable[[Line], None], *, back: float = BACK_SECONDS, unheard: float | None = None
) -> Iterator[None]:
    """Follow the journal meanwhile; unheard: as LoginJournal has it, from now on unless given.

    Without a journal nobody's address is known, and no more is lost.
    """
    try:
        journal = LoginJournal(hear, back, time.time() if unheard is None else unheard)
    except (ImportError, OSError) as error:
        log.error("the journal cannot be read, so devices' addresses are not known: %s", error)
        yield
        return
    journal.start()
    try:
        yield
    finally:
        journal.close()
