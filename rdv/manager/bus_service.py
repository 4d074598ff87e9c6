"""What each method of the manager does: from the bus's types to the product's, and back."""

from __future__ import annotations

import datetime
import json
import math
import time
from collections.abc import Sequence
from typing import Any

from dbus_fast.aio.message_bus import MessageBus

from rdv import contract
from rdv.access.in_force import AccessList
from rdv.audit.forms import to_json
from rdv.audit.writer import Recorder
from rdv.contract import Fact, Method
from rdv.facts import short_text
from rdv.logins.origins import Logins
from rdv.manager import rows
from rdv.manager.admin_service import AdminService, because
from rdv.manager.attachments import SHELL_GRACE, Attachments, Identify
from rdv.manager.bus_server import BusServer, Call, Handler
from rdv.manager.changes import Changes
from rdv.manager.registry import Connection, Registry
from rdv.manager.warnings import Warnings
from rdv.sessions.conductor import Conductor
from rdv.sessions.session import Session, State
from vtunlib.errors import Busy
from vtunlib.tunnel import Role
from vtunlib.words import UNKNOWN


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
        self._access = access
        self.registry = Registry()
        self.conductor = Conductor(self.registry, access, self._session_changed, audit)
        self._changes = Changes(lambda accounts: self._server.emit(contract.CHANGED, accounts))
        self._attachments = Attachments(
            self.registry,
            self.conductor,
            identify,
            audit,
            self.warnings,
            logins or Logins(),
            watch=self._watch_sender,
            ended=lambda handle, line: self._server.emit(contract.ENDED, handle, line),
            revision=self._changes.revision,
            seen=self._seen_of,
            grace=grace,
        )
        admin = AdminService(
            self.registry, self.conductor, access, self.warnings, audit.tell, self._attachments.end
        )
        handlers: dict[Method, Handler] = {
            contract.SET_FACT: self._set_fact,
            contract.LOOK: self._look,
            contract.GET_TUNNEL_MODE: self._tunnel_mode,
            contract.GET_VTUN_PARAMETERS: self._vtun_parameters,
            contract.LIST_ONSITES: self._list_onsites,
            contract.CONNECT: self._connect,
            contract.DROP: self._drop,
            contract.REMOTE_IP_CONFIG: self._remote_ip_config,
            contract.SESSION_STATUS: self._session_status,
            **self._attachments.handlers(),
            **admin.handlers(),
        }
        self._server = BusServer(bus, contract.PATH, handlers, self._attachments.sender_gone)
        audit.listen(lambda event: self._server.emit(contract.EVENT, to_json(event)))

    async def recover(self) -> None:
        """Take over from an earlier manager: its sessions, and who was online."""
        await self._attachments.recall()
        await self.conductor.recover()

    def finish(self) -> None:
        """The manager stops: tell the audit what it was still to be told."""
        self._attachments.finish()

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

    async def _watch_sender(self, sender: str) -> None:
        await self._server.watch(sender)

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


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
