"""When to look again at who may reach whom: on the kernel's word, and at the instants that the rules name.

inotify(7) tells of changed files. The file is not looked at whenever somebody
asks: an editor may have taken it away or emptied it at that very moment, and
every session would end.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from vtunlib import file_events

SETTLE_SECONDS = 0.3
"""From the last event to the look at the files. An editor renames, writes and renames again within it."""

log = logging.getLogger(__name__)

NextLook = Callable[[], datetime.datetime | None]
"""Looks again; returns the instant by which to do so once more at the latest."""


class Watch:
    """Calls `look` after each change below the directories, when its own instant comes, and when told to.

    A directory that is not there is not watched; who changes it tells by SIGHUP.
    """

    def __init__(self, look: NextLook, directories: Iterable[Path]) -> None:
        self._look = look
        self._directories = tuple(directories)
        self._descriptor: int | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._due: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now, and from now on."""
        self._descriptor = file_events.watch(self._directories, _cannot)
        if self._descriptor is not None:
            asyncio.get_running_loop().add_reader(self._descriptor, self._happened)
        self.again()

    def stop(self) -> None:
        """Look no more."""
        for timer in (self._settling, self._due):
            if timer is not None:
                timer.cancel()
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def again(self) -> None:
        """Look now."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        instant = self._look()
        if instant is not None:
            seconds = (instant - datetime.datetime.now(datetime.UTC)).total_seconds()
            self._due = asyncio.get_running_loop().call_later(max(0.0, seconds), self.again)

    def _happened(self) -> None:
        if self._descriptor is not None:
            os.read(self._descriptor, 65536)  # which file it was does not matter
        # Counted from the first of them: events without end put it off no further.
        if self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._settled)

    def _settled(self) -> None:
        self._settling = None
        self.again()


def _cannot(what: object, why: str) -> None:
    log.warning("cannot watch %s: %s; tell changes by systemctl reload vtun-manager", what, why)
