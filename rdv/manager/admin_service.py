"""What the manager does for the admin: the Admin interface, for root alone."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rdv import contract, drain
from rdv.access.in_force import AccessList
from rdv.audit.events import Record
from rdv.audit.forms import from_json
from rdv.contract import Method
from rdv.facts import short_text
from rdv.manager import rows
from rdv.manager.bus_server import Call, Handler
from rdv.manager.registry import Connection, Registry
from rdv.manager.warnings import Warnings
from rdv.sessions import traffic
from rdv.sessions.conductor import Conductor
from vtunlib.errors import NotAllowed, NotFound, RdvError
from vtunlib.version import VERSION

End = Callable[[Connection, RdvError, str], None]
"""Take a connection from its device, which is told the error; the text is why its session ends."""


class AdminService:
    """The admin's methods."""

    def __init__(
        self,
        registry: Registry,
        conductor: Conductor,
        access: AccessList,
        warnings: Warnings,
        tell: Record,
        end: End,
    ) -> None:
        self._registry = registry
        self._conductor = conductor
        self._access = access
        self._warnings = warnings
        self._tell = tell
        self._end = end
        self._started = datetime.datetime.now(datetime.UTC)

    def handlers(self) -> Mapping[Method, Handler]:
        """By their contract."""
        return {
            contract.STATUS: self._status,
            contract.LIST_ONLINE: self._list_online,
            contract.LIST_SESSIONS: self._list_sessions,
            contract.RECORDED: self._recorded,
            contract.SHOW_ACCESS: self._show_access,
            contract.DROP_SESSION: self._drop_session,
            contract.DROP_DEVICE: self._drop_device,
        }

    async def _status(self, _call: Call) -> Sequence[Any]:
        status = {
            "version": VERSION,
            "since": rows.iso(self._started),
            "drain": rows.drain(drain.now()),
            "devices": self._online(),
            "sessions": await self._sessions(),
            "warnings": [
                {"key": warning.key, "text": warning.text, "since": rows.iso(warning.since)}
                for warning in self._warnings
            ],
        }
        return [json.dumps(status, ensure_ascii=False)]

    async def _list_online(self, _call: Call) -> Sequence[Any]:
        return [[json.dumps(row, ensure_ascii=False) for row in self._online()]]

    async def _list_sessions(self, _call: Call) -> Sequence[Any]:
        return [[json.dumps(row, ensure_ascii=False) for row in await self._sessions()]]

    async def _recorded(self, call: Call) -> Sequence[Any]:
        self._tell(from_json(call.arguments[0]))
        return ()

    async def _show_access(self, _call: Call) -> Sequence[Any]:
        return [json.dumps(self._access.now.row(), ensure_ascii=False)]

    async def _drop_session(self, call: Call) -> Sequence[Any]:
        name, reason = call.arguments
        for life in self._conductor:
            if name in (life.session.id, *life.session.accounts):
                life.drop(because("dropped by the RDV's admin", short_text(reason, "reason")))
                return [life.session.id]
        raise NotFound(f"{name} is no session, and no device in one")

    async def _drop_device(self, call: Call) -> Sequence[Any]:
        account, reason = call.arguments
        connection = self._registry.online(account)
        if connection is None:
            return [False]
        why = because("disconnected by the RDV's admin", short_text(reason, "reason"))
        self._registry.remove(connection)
        self._end(connection, NotAllowed(why), f"{account} was {why}")
        return [True]

    def _online(self) -> list[dict[str, Any]]:
        return [
            {"role": connection.role, **rows.device(connection, self._conductor.of(connection.account))}
            for connection in sorted(self._registry, key=lambda c: c.account)
        ]

    async def _sessions(self) -> list[dict[str, Any]]:
        lives = list(self._conductor)
        amounts = await traffic.of_all(life.session.namespace for life in lives)
        return [
            {**rows.session(life.session, life.state, life.rtt, amount), "rule": life.session.rule}
            for life, amount in zip(lives, amounts, strict=True)
        ]


def because(what: str, reason: str) -> str:
    """`what`, with the reason where one was given."""
    return f"{what}: {reason}" if reason else what
