"""What each method of the manager does: from the bus's types to the product's, and back."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from dbus_fast.aio.message_bus import MessageBus

from rdv import contract, peer, rows
from rdv.access.in_force import AccessList
from rdv.admin_service import AdminService, because
from rdv.arrivals import Arrivals
from rdv.audit.events import Event
from rdv.audit.forms import to_json
from rdv.audit.presence import Presence, boot_id
from rdv.audit.store import Store
from rdv.audit.writer import Recorder
from rdv.bus_server import BusServer, Call, Handler
from rdv.changes import Changes
from rdv.conductor import Conductor
from rdv.contract import Fact, Method
from rdv.devices import Device
from rdv.facts import Facts, short_text
from rdv.logins import Logins
from rdv.registry import Connection, Registry
from rdv.session import REATTACH_GRACE, Session, State
from rdv.warnings import Warnings
from vtunlib.errors import Busy, NotAllowed, RdvError, TakenOver, UsageError
from vtunlib.tunnel import Role
from vtunlib.words import UNKNOWN

SHELL_GRACE = 15.0
"""Seconds in which the next shell service must have attached something of what the former one has
handed over: it starts in one or two, and needs a few milliseconds for each connection."""

log = logging.getLogger(__name__)


Identify = Callable[[socket.socket], tuple[Device, int]]
"""Which device is connected, and its uid. Raises NotAllowed (rdv.peer.device)."""


class BusService:
    """The manager on the bus."""

    def __init__(
        self,
        bus: MessageBus,
        identify: Identify,
        access: AccessList,
        audit: Recorder,
        warnings: Warnings | None = None,
        logins: Logins | None = None,
        *,
        grace: float = SHELL_GRACE,
    ) -> None:
        """grace: seconds that connections which a shell has handed over stay online without one."""
        self.warnings = warnings or Warnings()
        self._grace = grace
        self._handing_over: set[str] = set()
        self._identify = identify
        self._access = access
        self.registry = Registry()
        self._audit = audit
        self._presence = Presence(boot_id())
        self._arrivals = Arrivals(logins or Logins(), audit.record, self.warnings)
        self.conductor = Conductor(self.registry, access, self._session_changed, audit)
        self._changes = Changes(lambda accounts: self._server.emit(contract.CHANGED, accounts))
        admin = AdminService(self.registry, self.conductor, access, self.warnings, audit.tell, self._ended)
        handlers: dict[Method, Handler] = {
            contract.ATTACH: self._attach,
            contract.HAND_OVER: self._hand_over,
            contract.DETACH: self._detach,
            contract.SET_FACT: self._set_fact,
            contract.LOOK: self._look,
            contract.GET_TUNNEL_MODE: self._tunnel_mode,
            contract.GET_VTUN_PARAMETERS: self._vtun_parameters,
            contract.LIST_ONSITES: self._list_onsites,
            contract.CONNECT: self._connect,
            contract.DROP: self._drop,
            contract.REMOTE_IP_CONFIG: self._remote_ip_config,
            contract.SESSION_STATUS: self._session_status,
            **admin.handlers(),
        }
        self._server = BusServer(bus, contract.PATH, handlers, self._sender_gone)
        audit.listen(lambda event: self._server.emit(contract.EVENT, to_json(event)))
        audit.listen(self._arrivals.hear)

    async def recover(self) -> None:
        """Take over from an earlier manager: its sessions, and who was online."""
        try:
            seen = await self._audit.ask(Store.last_seen)
        except RdvError as error:
            log.error("who was online is not known: %s", error)
            seen = {}
        self._arrivals.recall(seen)
        self._record(self._presence.found(seen))
        asyncio.get_running_loop().call_later(REATTACH_GRACE, lambda: self._record(self._presence.given_up()))
        await self.conductor.recover()

    def finish(self) -> None:
        """The manager stops: tell the audit what it was still to be told."""
        self._arrivals.close()

    def _record(self, events: list[Event]) -> None:
        for event in events:
            self._audit.record(event)

    # connections

    async def _attach(self, call: Call) -> Sequence[Any]:
        index, since, told = call.arguments
        # First: from the look at who it is to the attachment nothing else has its turn.
        await self._server.watch(call.sender)
        with _socket(call, index) as connection:
            device, uid = self._identify(connection)
            cookie, pids = peer.cookie(connection), peer.pids(connection)
        facts = Facts()
        for fact, text in told.items():
            facts = facts.told(device.role, fact, text)
        new = Connection(device, uid, call.sender, cookie, facts, since=_instant(since))
        known = self.registry.attached_before(new)
        if known is not None:
            self._attached_again(known, new)
            return self._attached(known)
        older = self.registry.attach(new)
        if older is not None:
            taken_over = TakenOver(
                "taken over by a newer connection of the same account",
                "where this goes on, another device has the same identity",
            )
            self._ended(older, taken_over, f"{new.account} connected anew")
        self._arrivals.came(new, pids, self._presence.came(new), older)
        self.conductor.online(new)
        _log("%s %s is online", new)
        self._seen_of(new)
        return self._attached(new)

    def _attached(self, connection: Connection) -> Sequence[Any]:
        revision = self._changes.revision(connection.account)
        return connection.handle, connection.account, str(connection.role), revision

    def _attached_again(self, known: Connection, again: Connection) -> None:
        """The connection goes on in another shell: nobody has come and nobody has gone."""
        differs = (known.device, known.facts) != (again.device, again.facts)
        known.device, known.facts, known.sender = again.device, again.facts, again.sender
        if differs:
            self._seen_of(known)

    async def _hand_over(self, call: Call) -> Sequence[Any]:
        await self._server.watch(call.sender)
        self._handing_over.add(call.sender)
        return ()

    async def _detach(self, call: Call) -> Sequence[Any]:
        connection = self.registry.detach(call.arguments[0], call.sender)
        if connection is not None:
            self._went_offline(connection, f"{connection.account} went offline")
        return ()

    def _sender_gone(self, sender: str) -> None:
        lost = self.registry.of_sender(sender)
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
            if not connection.sender and self.registry.online(connection.account) is connection:
                self.registry.remove(connection)
                self._went_offline(connection, f"the shell of {connection.account} ended")

    def _went_offline(self, connection: Connection, why: str) -> None:
        _log("%s %s is offline", connection)
        self._arrivals.gone(connection)
        self._record(self._presence.went(connection, why))
        self.conductor.offline(connection, why)
        self._seen_of(connection)

    def _ended(self, connection: Connection, error: RdvError, why: str) -> None:
        """The connection is taken from the device: its shell tells it the error."""
        self._server.emit(contract.ENDED, connection.handle, error.shell_line())
        self._went_offline(connection, why)

    # who may reach whom

    def look_again(self) -> datetime.datetime | None:
        """The rules, a device's groups or the hour may have changed: act on how they are now.

        Returns the next instant at which time alone changes what is allowed.
        """
        self._access.refresh()
        if self._access.now.fault:
            self.warnings.set("acl", self._access.now.fault)
        else:
            self.warnings.clear("acl")
        self.conductor.judge()
        self._changes.note(master.account for master in self.registry.of_role(Role.MASTER))
        return self._access.next_change(_now())

    # both roles

    async def _set_fact(self, call: Call) -> Sequence[Any]:
        handle, fact, text = call.arguments
        connection = self.registry.get(handle, call.sender)
        facts = connection.facts.told(connection.role, fact, text)
        if fact == Fact.MODE and self.conductor.of(connection.account):
            raise Busy("the mode cannot change during a session")
        if facts != connection.facts:
            others_see_it = connection.role is Role.ONSITE
            if others_see_it and (held := connection.pace.take(time.monotonic())):
                raise Busy("this device tells too many changes", f"try again in {math.ceil(held)} s")
            connection.facts = facts
            if others_see_it:
                self._seen_of(connection)
        return ()

    async def _look(self, call: Call) -> Sequence[Any]:
        connection = self._caller(call)
        life = self.conductor.of(connection.account)
        ready = life is not None and life.state is not State.BIRTH
        return life.session.id if life and ready else "", self._changes.revision(connection.account)

    async def _tunnel_mode(self, call: Call) -> Sequence[Any]:
        connection = self._caller(call)
        life = self.conductor.of(connection.account)
        return [str(life.session.mode if life else connection.facts.mode or UNKNOWN)]

    async def _vtun_parameters(self, call: Call) -> Sequence[Any]:
        connection = self._caller(call)
        session = self.conductor.need(connection.account).session
        return [session.leg(connection.role).parameters.to_lines()]

    async def _drop(self, call: Call) -> Sequence[Any]:
        connection = self._caller(call)
        reason = short_text(call.arguments[1], "reason")
        life = self.conductor.need(connection.account)
        life.drop(because(f"dropped by {connection.role} {connection.account}", reason))
        return ()

    # masters

    async def _list_onsites(self, call: Call) -> Sequence[Any]:
        master = self._caller(call, Role.MASTER)
        onsites = self.registry.of_role(Role.ONSITE)
        visible = self._access.visible(master.account, [onsite.account for onsite in onsites], _now())
        return [
            [
                json.dumps(rows.device(onsite, self.conductor.of(onsite.account)), ensure_ascii=False)
                for onsite in onsites
                if onsite.account in visible
            ]
        ]

    async def _connect(self, call: Call) -> Sequence[Any]:
        _, onsite, reason = call.arguments
        return [(await self.conductor.connect(self._caller(call, Role.MASTER), onsite, reason)).id]

    async def _remote_ip_config(self, call: Call) -> Sequence[Any]:
        session = self.conductor.need(self._caller(call, Role.MASTER).account).session
        return str(session.lan), [str(server) for server in session.dns]

    async def _session_status(self, call: Call) -> Sequence[Any]:
        connection = self._caller(call)
        life = self.conductor.of(connection.account)
        if life is None:
            ended = self.conductor.ended.get(connection.account)
            return [{"state": "none"} | ({"ended": ended} if ended else {})]
        known = rows.session(life.session, life.state, life.rtt)
        row = {key: str(value) for key, value in known.items() if value not in (None, "")}
        return [row]

    # what they share

    def _caller(self, call: Call, role: Role | None = None) -> Connection:
        return self.registry.get(call.arguments[0], call.sender, role)

    def _seen_of(self, connection: Connection) -> None:
        """Something of this device that others may see has changed."""
        names = {connection.account}
        if connection.role is Role.ONSITE:
            names |= {
                master.account
                for master in self.registry.of_role(Role.MASTER)
                if self._access.visible(master.account, [connection.account], _now())
            }
        self._changes.note(names)

    def _session_changed(self, session: Session) -> None:
        self._changes.note(session.accounts)
        onsite = self.registry.online(session.onsite.account)
        if onsite is not None:
            self._seen_of(onsite)


def _socket(call: Call, index: int) -> socket.socket:
    """A copy of the socket that came with the call. Raises NotAllowed where there is none."""
    if index < len(call.fds):
        copy = os.dup(call.fds[index])
        try:
            return socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
    raise NotAllowed("there is no socket")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


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
