"""One session's life: the effects of what rdv.sessions.session decides, and nothing decided here.

What a session has started is named for its id, so what is left after a crash is
found and taken away without any memory (rdv.sessions.leftovers).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

from rdv.audit import sessions as told
from rdv.audit.events import Record
from rdv.sessions import glue, legs, probing, session_files, traffic
from rdv.sessions.session import ROLES, Decision, Facts, Session, State, next_deadline, next_state
from vtunlib import units
from vtunlib.errors import RdvError
from vtunlib.network import Network, watch_carriers
from vtunlib.tunnel import Role

log = logging.getLogger(__name__)


def namespace_unit(session_id: str) -> str:
    """Name of the unit that is the session's network namespace."""
    return f"rdv-netns@{session_id}.service"


class Life:
    """A session while it lives.

    entered: told of each state that it enters, before anything else happens
    because of it. record: keeps what the audit is to know of it.
    """

    def __init__(
        self,
        session: Session,
        entered: Callable[[Life, Decision], None],
        record: Record,
        *,
        kept: bool = False,
    ) -> None:
        self.session = session
        self.rtt: float | None = None
        self._end_recorded = False
        self._entered = entered
        self._record = record
        self._why = ""
        now = time.monotonic()
        unseen = {role: session.leg(role).account for role in Role} if kept else {}
        state = State.UP if kept else State.BIRTH
        carriers = ROLES if kept else frozenset()
        self._facts = Facts(state, now, now, joined=kept, unseen=unseen, carriers=carriers)
        self._network = Network(session.namespace)
        self._sockets = [self._socket(role) for role in Role]
        self._wake = asyncio.Event()
        self._joined = asyncio.Event()
        self._carried = asyncio.Event()
        self._dialled: set[Role] = set()

    @property
    def state(self) -> State:
        """Where in its life the session is."""
        return self._facts.state

    @property
    def dropped(self) -> str:
        """Why somebody wants it ended; empty where nobody does."""
        return self._facts.drop

    def drop(self, why: str) -> None:
        """End it. The first reason is kept."""
        if not self._facts.drop:
            self._note(drop=why)

    def seen(self, role: Role) -> None:
        """The device of that role is attached again after a restart of the manager."""
        unseen = {key: value for key, value in self._facts.unseen.items() if key is not role}
        self._note(unseen=unseen)

    async def birth(self) -> None:
        """Make all that the devices dial in to. Raises RdvError; then the session is dropped.

        Of a kept session all is there already, and making it again changes nothing.
        """
        try:
            if self.state is State.BIRTH:
                session_files.save(self.session, State.BIRTH)
            await asyncio.to_thread(units.start, namespace_unit(self.session.id))
            await asyncio.to_thread(self._network.set, glue.desired(self.session))
            for leg_socket in self._sockets:
                leg_socket.open()
        except (RdvError, OSError) as error:
            self.drop(f"it could not be set up: {error}")
            raise
        finally:
            self._note(joined=not self._facts.drop)

    async def run(self) -> None:
        """Live until the end, and take everything away. Cancelled, it leaves everything as it is."""
        watching = [
            asyncio.create_task(self._guard(self._watch_carriers, "watching the legs")),
            asyncio.create_task(self._guard(self._probe, "probing the legs")),
        ]
        try:
            await self._decide()
        finally:
            for task in watching:
                task.cancel()
            # They hold sockets inside the namespace, and those hold the namespace.
            await asyncio.gather(*watching, return_exceptions=True)
        await self._take_away()

    async def abandon(self, why: str) -> None:
        """Take everything away where `run` broke off by an error of our own."""
        self._why = self._why or why
        self._close_sockets()
        await self._take_away()

    def _close_sockets(self) -> None:
        for leg_socket in self._sockets:
            leg_socket.close()

    async def _decide(self) -> None:
        while True:
            self._wake.clear()
            self._facts = dataclasses.replace(self._facts, now=time.monotonic())
            decision = next_state(self._facts)
            if decision.state is not self._facts.state:
                self._enter(decision)
                if decision.state is State.ENDED:
                    return
                continue
            deadline = next_deadline(self._facts)
            try:
                async with asyncio.timeout(None if deadline is None else deadline - self._facts.now):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _enter(self, decision: Decision) -> None:
        former = self._facts.state
        self._facts = dataclasses.replace(self._facts, state=decision.state)
        log.info(
            "session %s of %s with %s: %s -> %s: %s",
            self.session.id,
            self.session.master.account,
            self.session.onsite.account,
            former,
            decision.state,
            decision.why,
            extra={
                "fields": {
                    "RDV_SESSION": self.session.id,
                    "RDV_MASTER": self.session.master.account,
                    "RDV_ONSITE": self.session.onsite.account,
                    "RDV_OLD_STATE": former,
                    "RDV_STATE": decision.state,
                    "RDV_WHY": decision.why,
                }
            },
        )
        if decision.state is State.UP:
            self._record(told.up(self.session, time.monotonic() - self._facts.born))
        if decision.state is State.ENDED:
            self._why = decision.why
            # At once, so that both devices are free for a new session while the rest is taken away.
            self._close_sockets()
            session_files.forget(self.session.id)
        else:
            session_files.save(self.session, decision.state)
        self._entered(self, decision)

    async def _take_away(self) -> None:
        await asyncio.gather(*(leg_socket.idle() for leg_socket in self._sockets))
        await self._stop(*(legs.unit(self.session.id, role) for role in Role))
        # Now nothing goes through any more, and the counters go with the namespace.
        self._record_end(await asyncio.to_thread(traffic.known, self.session.namespace))
        await self._stop(namespace_unit(self.session.id))
        # Again: a leg may have been taken while the session ended.
        session_files.forget(self.session.id)

    def _record_end(self, went_through: traffic.Traffic | None) -> None:
        if not self._end_recorded:
            self._end_recorded = True
            self._record(told.ended(self.session, self._why, went_through))

    async def _stop(self, *names: str) -> None:
        results = await asyncio.gather(
            *(asyncio.to_thread(units.stop, name) for name in names), return_exceptions=True
        )
        for error in results:
            if isinstance(error, BaseException):
                log.error("session %s: %s", self.session.id, error)

    def _socket(self, role: Role) -> legs.LegSocket:
        leg = self.session.leg(role)

        async def taken(connection: socket.socket) -> None:
            await self._take_leg(role, connection)

        return legs.LegSocket(leg.account, leg.uid, taken)

    async def _take_leg(self, role: Role, connection: socket.socket) -> None:
        """A device dials its leg: until the session is up, the newest connection is the one that counts."""
        if self.state is not State.LEGS:
            log.warning("session %s is %s: the %s dialled once more", self.session.id, self.state, role)
            return
        try:
            if role in self._dialled:
                await asyncio.to_thread(units.stop, legs.unit(self.session.id, role))
            self._dialled.add(role)
            await legs.start_vtund(self.session, role, connection)
        except RdvError as error:
            self.drop(f"the leg of the {role} cannot be served: {error}")

    async def _watch_carriers(self) -> None:
        await self._joined.wait()
        # Cancelled inside the iterator, which then closes what it holds.
        async for link, up in watch_carriers(self.session.namespace, {str(role) for role in Role}):
            one = {Role(link)}
            carriers = self._facts.carriers | one if up else self._facts.carriers - one
            lost = None if carriers == ROLES else self._facts.lost or time.monotonic()
            self._note(carriers=carriers, lost=lost)

    async def _probe(self) -> None:
        await self._joined.wait()
        patience = probing.FIRST_PATIENCE
        while True:
            await self._carried.wait()
            rtt = await probing.ask(self.session, patience)
            if rtt is None:
                patience = min(2 * patience, probing.LAST_PATIENCE)
                continue
            self.rtt, patience = rtt, probing.LAST_PATIENCE
            self._note(answered=time.monotonic())
            await asyncio.sleep(probing.INTERVAL)

    async def _guard(self, work: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        try:
            await work()
        except (RdvError, OSError) as error:
            self.drop(f"{what} failed: {error}")

    def _note(self, **changes: Any) -> None:
        self._facts = dataclasses.replace(self._facts, **changes)
        if self._facts.joined:
            self._joined.set()
        if self._facts.carriers == ROLES:
            self._carried.set()
        else:
            self._carried.clear()
        self._wake.set()
