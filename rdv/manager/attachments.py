"""Devices come and go: their connections as the shell's service brings them, hands them over, and loses them.

Who a device is the socket tells that comes with the call (rdv.peer). What follows
from its coming or going is told to the sessions, to the audit and to who may see it.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from rdv import contract, peer
from rdv.audit.events import Event
from rdv.audit.presence import Presence
from rdv.audit.store import Store
from rdv.audit.writer import Recorder
from rdv.contract import Method
from rdv.devices import Device
from rdv.facts import Facts
from rdv.logins.arrivals import Arrivals
from rdv.logins.origins import Logins
from rdv.manager.bus_server import Call, Handler
from rdv.manager.registry import Connection, Registry
from rdv.manager.warnings import Warnings
from rdv.sessions.conductor import Conductor
from rdv.sessions.session import REATTACH_GRACE
from vtunlib.boot import boot_id
from vtunlib.errors import NotAllowed, RdvError, TakenOver, UsageError

SHELL_GRACE = 15.0
"""Seconds in which the next shell service must have attached something of what the former one has
handed over: it starts in one or two, and needs a few milliseconds for each connection."""

log = logging.getLogger(__name__)

Identify = Callable[[socket.socket], tuple[Device, int]]
"""Which device is connected, and its uid. Raises NotAllowed (rdv.peer.device)."""
WatchSender = Callable[[str], Awaitable[None]]
"""Have `sender_gone` called when that bus connection ends (rdv.manager.bus_server)."""


class Attachments:
    """The methods by which a shell attaches connections, and what becomes of them with that shell."""

    def __init__(
        self,
        registry: Registry,
        conductor: Conductor,
        identify: Identify,
        audit: Recorder,
        warnings: Warnings,
        logins: Logins,
        *,
        watch: WatchSender,
        ended: Callable[[str, str], None],
        revision: Callable[[str], int],
        seen: Callable[[Connection], None],
        grace: float = SHELL_GRACE,
    ) -> None:
        """ended: tells the shell to end the connection of that handle with that line.

        revision: of what an account may see. seen: something of a device that others
        may see has changed. grace: seconds that connections which a shell has handed
        over stay online without one.
        """
        self._registry = registry
        self._conductor = conductor
        self._identify = identify
        self._audit = audit
        self._presence = Presence(boot_id())
        self._arrivals = Arrivals(logins, audit.record, warnings)
        audit.listen(self._arrivals.hear)
        self._watch = watch
        self._ended = ended
        self._revision = revision
        self._seen = seen
        self._grace = grace
        self._handing_over: set[str] = set()

    def handlers(self) -> Mapping[Method, Handler]:
        """By their contract."""
        return {
            contract.ATTACH: self._attach,
            contract.HAND_OVER: self._hand_over,
            contract.DETACH: self._detach,
        }

    async def recall(self) -> None:
        """Learn from the audit who was online when an earlier manager ended."""
        try:
            seen = await self._audit.ask(Store.last_seen)
        except RdvError as error:
            log.error("who was online is not known: %s", error)
            seen = {}
        self._arrivals.recall(seen)
        self._record(self._presence.found(seen))
        asyncio.get_running_loop().call_later(REATTACH_GRACE, lambda: self._record(self._presence.given_up()))

    def finish(self) -> None:
        """The manager stops: tell the audit what it was still to be told."""
        self._arrivals.close()

    def _record(self, events: list[Event]) -> None:
        for event in events:
            self._audit.record(event)

    # coming

    async def _attach(self, call: Call) -> Sequence[Any]:
        index, since, told = call.arguments
        # First: from the look at who it is to the attachment nothing else has its turn.
        await self._watch(call.sender)
        with _socket(call, index) as connection:
            device, uid = self._identify(connection)
            cookie, pids = peer.cookie(connection), peer.pids(connection)
        facts = Facts()
        for fact, text in told.items():
            facts = facts.told(device.role, fact, text)
        new = Connection(device, uid, call.sender, cookie, facts, since=_instant(since))
        known = self._registry.attached_before(new)
        if known is not None:
            self._attached_again(known, new)
            return self._attached(known)
        older = self._registry.attach(new)
        if older is not None:
            taken_over = TakenOver(
                "taken over by a newer connection of the same account",
                "where this goes on, another device has the same identity",
            )
            self.end(older, taken_over, f"{new.account} connected anew")
        self._arrivals.came(new, pids, self._presence.came(new), older)
        self._conductor.online(new)
        _log("%s %s is online", new)
        self._seen(new)
        return self._attached(new)

    def _attached(self, connection: Connection) -> Sequence[Any]:
        revision = self._revision(connection.account)
        return connection.handle, connection.account, str(connection.role), revision

    def _attached_again(self, known: Connection, again: Connection) -> None:
        """The connection goes on in another shell: nobody has come and nobody has gone."""
        differs = (known.device, known.facts) != (again.device, again.facts)
        known.device, known.facts, known.sender = again.device, again.facts, again.sender
        if differs:
            self._seen(known)

    # going

    async def _hand_over(self, call: Call) -> Sequence[Any]:
        await self._watch(call.sender)
        self._handing_over.add(call.sender)
        return ()

    async def _detach(self, call: Call) -> Sequence[Any]:
        connection = self._registry.detach(call.arguments[0], call.sender)
        if connection is not None:
            self._went_offline(connection, f"{connection.account} went offline")
        return ()

    def sender_gone(self, sender: str) -> None:
        """The bus connection of a shell has ended."""
        lost = self._registry.of_sender(sender)
        for connection in lost:
            connection.sender = ""
        if sender in self._handing_over:
            self._handing_over.discard(sender)
            self._await_shell(lost)
        else:
            self._give_up(lost)

    def _await_shell(self, adrift: list[Connection]) -> None:
        asyncio.get_running_loop().call_later(self._grace, self._look_after, adrift)

    def _look_after(self, adrift: list[Connection]) -> None:
        """A shell that has attached some of these since may need time for the others."""
        left = [connection for connection in adrift if not connection.sender]
        if len(left) < len(adrift):
            self._await_shell(left)
        else:
            self._give_up(left)

    def _give_up(self, adrift: list[Connection]) -> None:
        """Those that no shell has attached again are offline."""
        for connection in adrift:
            if not connection.sender and self._registry.online(connection.account) is connection:
                self._registry.remove(connection)
                self._went_offline(connection, f"the shell of {connection.account} ended")

    def end(self, connection: Connection, error: RdvError, why: str) -> None:
        """It is out of the registry, and is taken from the device, which its shell tells the error.

        why: its session ends.
        """
        self._ended(connection.handle, error.shell_line())
        self._went_offline(connection, why)

    def _went_offline(self, connection: Connection, why: str) -> None:
        _log("%s %s is offline", connection)
        self._arrivals.gone(connection)
        self._record(self._presence.went(connection, why))
        self._conductor.offline(connection, why)
        self._seen(connection)


def _socket(call: Call, index: int) -> socket.socket:
    """A copy of the socket that came with the call. Raises NotAllowed where there is none."""
    if index < len(call.fds):
        copy = os.dup(call.fds[index])
        try:
            return socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
    raise NotAllowed("there is no socket")


def _instant(epoch: int) -> datetime.datetime:
    """When a connection came, by the word of its shell; not later than now."""
    try:
        told = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        raise UsageError(f"{epoch} is no instant") from None
    return min(told, datetime.datetime.now(datetime.UTC))


def _log(text: str, connection: Connection) -> None:
    fields = {"RDV_DEVICE": connection.account, "RDV_ROLE": str(connection.role)}
    log.info(text, connection.role, connection.account, extra={"fields": fields})
