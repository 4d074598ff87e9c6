"""Follows the journal of rdv-sshd and rdv-stunnel, in the loop of who wants to hear it.

systemd's journal tells by a descriptor that there is more (sd_journal_get_fd(3)): nothing
polls. Which unit and process a line is from is the journal's own word, not the line's.
"""

from __future__ import annotations

import asyncio
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
AT_ONCE = 500
"""Lines that are taken before others in the loop have their turn."""

log = logging.getLogger(__name__)


class LoginJournal:
    """The open journal; `hear` is told of each line.

    Of what was written before, only who is logged in: the refusals were told when they were new.
    """

    def __init__(self, hear: Callable[[Line], None], back: float = BACK_SECONDS) -> None:
        # Here, for only the manager needs it.
        from systemd import journal

        self._hear = hear
        self._reader: Any = journal.Reader(journal.SYSTEM)
        # sshd's own processes are root's: nothing that a device's account runs is listened to.
        self._reader.add_match(_SYSTEMD_UNIT=SSHD, _UID="0", _COMM="sshd")
        self._reader.add_disjunction()
        self._reader.add_match(_SYSTEMD_UNIT=STUNNEL)
        self._reader.seek_realtime(time.time() - back)
        self._loop = asyncio.get_running_loop()
        self._past = True
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
                self._past = False
                return
            line = of_entry(entry)
            if line is not None and not (self._past and isinstance(line, Refused | Stranger)):
                self._hear(line)
        self._loop.call_soon(self._read)


def of_entry(entry: dict[str, Any]) -> Line | None:
    """What an entry of the journal tells."""
    message, pid = entry.get("MESSAGE"), entry.get("_PID")
    if not isinstance(message, str):
        return None  # bytes that are no text
    if entry.get("_SYSTEMD_UNIT") == STUNNEL:
        return login_lines.of_stunnel(message)
    return login_lines.of_sshd(message, pid) if isinstance(pid, int) else None


@contextmanager
def following(hear: Callable[[Line], None], *, back: float = BACK_SECONDS) -> Iterator[None]:
    """Follow the journal meanwhile. Without one nobody's address is known, and no more is lost."""
    try:
        journal = LoginJournal(hear, back)
    except (ImportError, OSError) as error:
        log.error("the journal cannot be read, so devices' addresses are not known: %s", error)
        yield
        return
    journal.start()
    try:
        yield
    finally:
        journal.close()
