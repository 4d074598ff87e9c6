"""Who comes and who goes, each once, also over a restart of the manager.

A device stays connected while the manager is restarted, and the next manager sees it
attached anew. Whether it is the same connection tells the kernel's number of its
socket (rdv.peer.cookie), which is kept with its coming; the number counts from each
boot. It decides what is to be recorded, and records nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from rdv.audit.events import Event, Kind
from rdv.audit.store import Seen
from rdv.manager.registry import Connection

_RESTARTED = "the RDV was restarted"
_UNSEEN = "gone while the RDV's manager was restarted"


class Presence:
    """What was recorded last of each device's coming and going."""

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._unseen: dict[str, str] = {}
        """Recorded as online by an earlier manager, and not attached again yet: by which connection."""

    def found(self, seen: Mapping[str, Seen]) -> list[Event]:
        """What follows from the store as an earlier manager left it."""
        online = {account: last.connection for account, last in seen.items() if last.online}
        self._unseen = {
            account: connection
            for account, connection in online.items()
            if connection.startswith(f"{self._boot}-")
        }
        return [_offline(account, _RESTARTED) for account in online if account not in self._unseen]

    def came(self, connection: Connection) -> list[Event]:
        """The device is attached."""
        number = f"{self._boot}-{connection.cookie}"
        former = self._unseen.pop(connection.account, None)
        if former == number:
            return []
        more = {"role": str(connection.role), "connection": number}
        online = Event(Kind.ONLINE, connection.account, more=more)
        return [online] if former is None else [_offline(connection.account, _UNSEEN), online]

    def went(self, connection: Connection, why: str) -> list[Event]:
        """The device's connection is over."""
        return [_offline(connection.account, why)]

    def given_up(self) -> list[Event]:
        """Who was to come back after the manager's restart had the time to."""
        unseen, self._unseen = list(self._unseen), {}
        return [_offline(account, _UNSEEN) for account in unseen]


def _offline(account: str, why: str) -> Event:
    return Event(Kind.OFFLINE, account, more={"why": why})
