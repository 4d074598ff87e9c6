"""The devices that are online: one connection each, the newest wins.

A connection is known by its handle, and a handle is worth something only to the
bus connection that attached it. A shell service that is restarted hands its
connections over to the next one, which attaches them again: meanwhile they are
adrift. The registry keeps no sockets and does no I/O.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from rdv.devices import Device
from rdv.facts import Facts
from rdv.logins.origins import Origin
from rdv.pace import Pace
from vtunlib.errors import NotAllowed, NotOnline
from vtunlib.tunnel import Role

CHANGES_AT_ONCE = 40
CHANGES_A_SECOND = 0.5
"""An onsite tells its facts when it comes, and hardly ever after that. Each change is news for others."""


@dataclass
class Connection:
    """One device's connection, from its attachment to its end.

    sender: unique bus name of the shell that attached it, empty while that one is
    gone and the connection adrift. cookie: the socket's number (rdv.peer.cookie).
    """

    device: Device
    uid: int
    sender: str
    cookie: int
    facts: Facts = field(default_factory=Facts)
    origin: Origin | None = None
    """From where it came, once that is known."""
    handle: str = field(default_factory=lambda: secrets.token_hex(16))
    since: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    pace: Pace = field(default_factory=lambda: Pace(CHANGES_AT_ONCE, CHANGES_A_SECOND))
    """Of its facts' changes."""

    @property
    def account(self) -> str:
        """The device's account."""
        return self.device.account

    @property
    def role(self) -> Role:
        """The device's role."""
        return self.device.role

    @property
    def location(self) -> str:
        """Where it says it is, or where the admin says it is."""
        return self.facts.location or self.device.location


def not_online(account: str) -> NotOnline:
    """The answer for a device that is unknown, not connected, or none that the one who asks may know of."""
    return NotOnline(f"{account} is not online", "the list of onsites shows which are")


class Registry:
    """All connections, by handle and by account."""

    def __init__(self) -> None:
        self._by_handle: dict[str, Connection] = {}
        self._by_account: dict[str, Connection] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_account.values()))

    def attach(self, connection: Connection) -> Connection | None:
        """Add a connection; returns the older one of the same account that it replaces."""
        older = self._by_account.get(connection.account)
        if older is not None:
            del self._by_handle[older.handle]
        self._by_account[connection.account] = connection
        self._by_handle[connection.handle] = connection
        return older

    def attached_before(self, new: Connection) -> Connection | None:
        """The connection that this is once more: the same socket of the same device."""
        known = self._by_account.get(new.account)
        same = known is not None and (known.cookie, known.role) == (new.cookie, new.role)
        return known if same else None

    def detach(self, handle: str, sender: str) -> Connection | None:
        """Take a connection away; None where it is gone already. Raises NotAllowed."""
        if handle not in self._by_handle:
            return None
        return self.remove(self.get(handle, sender))

    def remove(self, connection: Connection) -> Connection:
        """Take away this very connection, and no newer one of its account."""
        self._by_handle.pop(connection.handle, None)
        if self._by_account.get(connection.account) is connection:
            del self._by_account[connection.account]
        return connection

    def get(self, handle: str, sender: str, role: Role | None = None) -> Connection:
        """The connection of that handle if `sender` attached it. Raises NotAllowed.

        role: which the device must have, where only one has the command.
        """
        connection = self._by_handle.get(handle)
        if connection is None or connection.sender != sender:
            raise NotAllowed("this connection is not attached")
        if role is not None and connection.role is not role:
            raise NotAllowed(f"this is not for a device of role {connection.role}")
        return connection

    def online(self, account: str) -> Connection | None:
        """The connection of that account."""
        return self._by_account.get(account)

    def need_online(self, account: str, role: Role) -> Connection:
        """The connection of that account and role. Raises NotOnline."""
        connection = self._by_account.get(account)
        if connection is None or connection.role is not role:
            raise not_online(account)
        return connection

    def of_role(self, role: Role) -> list[Connection]:
        """All connections of devices of that role, by account."""
        return sorted((c for c in self._by_account.values() if c.role is role), key=lambda c: c.account)

    def of_sender(self, sender: str) -> list[Connection]:
        """All connections that this bus connection attached."""
        return [c for c in self._by_handle.values() if c.sender == sender]
