"""What the admin should know and would not be told otherwise: the manager's standing warnings.

A warning stands until whoever set it clears it. It is told once in the journal
when it comes and when it goes, and is in `rdv-admin status` and the metrics in
between. None of them survives the manager: what is still wrong is found again.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from vtunlib.errors import printable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Warning:  # noqa: A001  # nobody here means the built-in class
    """key: what it is about, for programs: `acl`, `audit`, `clone rpi1100`. text: for people."""

    key: str
    text: str
    since: datetime.datetime


class Warnings:
    """The warnings that stand now, the oldest first."""

    def __init__(self) -> None:
        self._standing: dict[str, Warning] = {}

    def __iter__(self) -> Iterator[Warning]:
        return iter(list(self._standing.values()))

    def set(self, key: str, text: str) -> None:
        """Let `text` stand under `key`, in place of what stood there; the same again changes nothing."""
        text = printable(text)
        former = self._standing.get(key)
        if former is not None and former.text == text:
            return
        since = former.since if former is not None else datetime.datetime.now(datetime.UTC)
        self._standing[key] = Warning(key, text, since)
        log.warning("%s", text)

    def clear(self, key: str) -> None:
        """It is well again; nothing stood there is no error."""
        former = self._standing.pop(key, None)
        if former is not None:
            log.info("no longer: %s", former.text)
