"""All sessions: who may open one with whom, and what becomes of them when a device comes or goes."""

from __future__ import annotations

import asyncio
import datetime
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network

from rdv import drain
from rdv.access import decision
from rdv.access.decision import Answer
from rdv.access.in_force import AccessList
from rdv.access.reach import Reach
from rdv.access.rules import Rule
from rdv.audit import sessions as told
from rdv.audit.events import Event
from rdv.audit.store import Store
from rdv.audit.writer import Recorder
from rdv.facts import short_text
from rdv.manager.registry import Connection, Registry, not_online
from rdv.pace import Pace
from rdv.sessions import addresses, leftovers, legs, session_files, traffic
from rdv.sessions.life import Life
from rdv.sessions.session import Decision, Leg, Session, State
from vtunlib import namespace, units
from vtunlib.errors import (
    Busy,
    ModeNotPossible,
    NoSession,
    NotAllowed,
    NotOnline,
    RdvError,
    SessionFailed,
    printable,
)
from vtunlib.tunnel import Role, TunnelMode, VtunParameters

FINISH_SECONDS = 10.0
"""How long ended sessions are waited for when the manager stops; the next one takes away the rest."""

SESSIONS_AT_ONCE = 30
SESSIONS_A_SECOND = 0.5
"""What one master may open in a row, and in the long run: more than any person or script needs."""

NOT_KEPT = "the RDV was restarted, and it could not be kept"
"""Why a session ended that an earlier manager had."""
_LARGEST_KEPT_FREE = 8
"""Prefix length: that of the largest private network (RFC 1918)."""

log = logging.getLogger(__name__)


class Conductor:
    """Opens and ends sessions. changed: told of each session that entered another state."""

    def __init__(
        self,
        registry: Registry,
        access: AccessList,
        changed: Callable[[Session], None],
        audit: Recorder,
    ) -> None:
        self._registry = registry
        self._access = access
        self._changed = changed
        self._audit = audit
        self._lives: dict[str, Life] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._paces: dict[str, Pace] = {}
        self.ended: dict[str, str] = {}
        """Why the last session of an account ended; gone as soon as it has a new one."""

    def __iter__(self) -> Iterator[Life]:
        return iter(list(self._lives.values()))

    def of(self, account: str) -> Life | None:
        """The session that the account is in."""
        return next((life for life in self._lives.values() if account in life.session.accounts), None)

    def need(self, account: str) -> Life:
        """The session that the account is in. Raises NoSession."""
        life = self.of(account)
        if life is None:
            raise NoSession(f"{account} is in no session")
        return life

    async def connect(self, master: Connection, account: str, reason: str) -> Session:
        """Open a session; returns when both legs may be dialled.

        Raises Draining, NotAllowed, NotOnline, Busy, ModeNotPossible,
        MissingProgram, UsageError, SessionFailed.
        """
        try:
            session = self._agree(master, account, short_text(reason, "reason"))
            self._check_pace(master.account)
        except RdvError as error:
            # What the master is told may hide why from it, but not from the admin.
            why = error.__cause__ if isinstance(error.__cause__, RdvError) else error
            log.info("%s gets no session with %s: %s", master.account, printable(account, 64), why)
            self._audit.record(told.refused(master.account, account, why))
            raise
        life = self._lives[session.id] = Life(session, self._entered, self._audit.record)
        await self._keep_opened(session)
        for name in session.accounts:
            self.ended.pop(name, None)
        try:
            await life.birth()
        except (RdvError, OSError) as error:
            raise SessionFailed(f"the session could not be set up: {error}") from None
        finally:
            self._start(life)
        if life.dropped:
            raise SessionFailed(life.dropped)
        return session

    async def _keep_opened(self, session: Session) -> None:
        """No session is made before it is on disk that it was opened. Raises SessionFailed."""
        try:
            await self._audit.keep(told.opened(session))
        except RdvError as error:
            log.error("no session of %s with %s: %s", *reversed(session.accounts), error)
            del self._lives[session.id]
            self._changed(session)
            refused = SessionFailed(
                "the RDV cannot record sessions now, so it opens none",
                "its admin finds why with 'rdv-admin status'",
            )
            self._audit.record(told.refused(session.master.account, session.onsite.account, refused))
            raise refused from None

    def online(self, connection: Connection) -> None:
        """A device is attached: of a kept session it is seen again."""
        life = self.of(connection.account)
        if life is not None:
            life.seen(connection.role)

    def offline(self, connection: Connection, why: str) -> None:
        """A device's connection has ended, and with it its session."""
        life = self.of(connection.account)
        if life is not None:
            life.drop(why)

    async def recover(self) -> None:
        """Keep the sessions that were up when the manager ended; take away all else."""
        await asyncio.to_thread(session_files.DIRECTORY.mkdir, mode=0o700, exist_ok=True)
        noted = await asyncio.to_thread(session_files.load)
        kept = [session for session, state in noted if state is State.UP and await _stands(session)]
        for session, _ in noted:
            if session not in kept:
                self.ended |= dict.fromkeys(session.accounts, NOT_KEPT)
        for ended in await self._unended(kept):
            self._audit.record(ended)
        await asyncio.to_thread(leftovers.remove, kept)
        for session in kept:
            log.info("session %s of %s with %s is kept", session.id, *reversed(session.accounts))
            life = self._lives[session.id] = Life(session, self._entered, self._audit.record, kept=True)
            try:
                await life.birth()
            except (RdvError, OSError) as error:
                log.error("session %s cannot be kept: %s", session.id, error)
            self._start(life)

    async def _unended(self, kept: list[Session]) -> list[Event]:
        """The ends that are still to be recorded of sessions which an earlier manager opened.

        Before their namespaces are taken away: those still know what went through.
        """
        try:
            opened = await self._audit.ask(Store.unended)
        except RdvError as error:
            log.error("which sessions have no end in the audit is not known: %s", error)
            return []
        ids = {session.id for session in kept}
        return [
            told.ended_later(event, NOT_KEPT, await asyncio.to_thread(traffic.known, f"rdv-{event.session}"))
            for event in opened
            if event.session not in ids
        ]

    def judge(self) -> None:
        """The rules or the hour may have changed: end the sessions that are not as they now may be."""
        now = datetime.datetime.now(datetime.UTC)
        for life in self:
            session = life.session
            verdict = self._access.decide(
                session.master.account, session.onsite.account, session.mode, session.reason, now
            )
            why = decision.ending(verdict, session.mode, session.reach)
            if why:
                life.drop(why)

    async def finish(self) -> None:
        """The manager stops: wait for sessions that are being taken away. The others live on without it."""
        ending = [task for task in self._running if task.get_name() not in self._lives]
        if ending:
            await asyncio.wait(ending, timeout=FINISH_SECONDS)

    def _check_pace(self, master: str) -> None:
        """Each session costs the RDV a namespace and two units. Raises Busy."""
        pace = self._paces.setdefault(master, Pace(SESSIONS_AT_ONCE, SESSIONS_A_SECOND))
        if held := pace.take(time.monotonic()):
            raise Busy(f"{master} has opened too many sessions in a row", f"try again in {math.ceil(held)} s")

    def _agree(self, master: Connection, account: str, reason: str) -> Session:
        """All that can refuse a session, before anything is made."""
        drain.check()
        mode = master.facts.mode or TunnelMode.L3
        rule, onsite = self._allowed(master, account, mode, reason)
        for connection in (master, onsite):
            life = self.of(connection.account)
            if life is not None:
                other = life.session.other(connection.account)
                raise Busy(
                    f"{connection.account} is in a session with {other}",
                    "try again when it is over; the RDV's admin can drop it",
                )
        lan = onsite.facts.lan
        if lan is None:
            raise NotOnline(f"{account} has not told its LAN address yet", "try again in a moment")
        _check_mode(mode, onsite)
        legs.vtund()
        taken = [lan.network, *(facts.lan.network for facts in (master.facts,) if facts.lan)]
        taken += _to_keep_free(rule.reach)
        onsite_net, master_net = addresses.choose([*taken, *map(addresses.host, onsite.facts.dns)])
        number = secrets.token_hex(4)
        return Session(
            id=number,
            mode=mode,
            onsite=_leg(number, onsite, onsite_net),
            master=_leg(number, master, master_net),
            lan=lan,
            dns=onsite.facts.dns,
            rule=rule.title,
            reach=rule.reach,
            reason=reason,
            born=datetime.datetime.now(datetime.UTC),
        )

    def _allowed(
        self, master: Connection, account: str, mode: TunnelMode, reason: str
    ) -> tuple[Rule, Connection]:
        """The rule that allows it, and the onsite. Raises NotAllowed, NotOnline.

        Whether an onsite that is not for this master exists, and is online, is not told.
        """
        now = datetime.datetime.now(datetime.UTC)
        verdict = self._access.decide(master.account, account, mode, reason, now)
        refused = decision.refusal(verdict, master.account, account, mode)
        if verdict.answer is Answer.NEVER:
            raise not_online(account) from refused
        onsite = self._registry.need_online(account, Role.ONSITE)
        if refused is not None or verdict.rule is None:
            raise refused or NotAllowed(f"{master.account} may not reach {account}")
        return verdict.rule, onsite

    def _start(self, life: Life) -> None:
        task = asyncio.create_task(self._run(life), name=life.session.id)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, life: Life) -> None:
        try:
            await life.run()
        except Exception:
            # Never leave two devices in a session that nobody looks after.
            log.exception("session %s", life.session.id)
            why = life.dropped or "internal error of the RDV's manager"
            try:
                self._entered(life, Decision(State.ENDED, why))
            finally:
                await life.abandon(why)

    def _entered(self, life: Life, decision: Decision) -> None:
        if decision.state is State.ENDED:
            self._lives.pop(life.session.id, None)
            for name in life.session.accounts:
                self.ended[name] = decision.why
        self._changed(life.session)


def _check_mode(mode: TunnelMode, onsite: Connection) -> None:
    uplink = onsite.facts.uplink
    if mode is TunnelMode.L2 and not (uplink and uplink.bridgeable):
        kind = f"is {uplink}" if uplink else "is not known yet"
        raise ModeNotPossible(
            f"L2 is not possible with {onsite.account}: its uplink {kind}", "use L3, or an uplink of type lan"
        )


def _to_keep_free(reach: Reach) -> list[IPv4Network]:
    """What a leg's addresses must not hide. The whole internet cannot be kept free."""
    return [one.network for one in reach.destinations if one.network.prefixlen >= _LARGEST_KEPT_FREE]


def _leg(number: str, connection: Connection, network: addresses.LegNetwork) -> Leg:
    parameters = VtunParameters(
        tunnel_ip_network=network.network.network_address,
        tunnel_ip_prefix=network.network.prefixlen,
        tunnelling_dev_ip_address=network.device,
        rdv_server_ip_address=network.rdv,
        tunnel_name=f"rdv-{number}-{connection.role}",
        tunnel_secret=secrets.token_hex(32),
    )
    return Leg(connection.account, connection.uid, parameters)


async def _stands(session: Session) -> bool:
    """Whether all that the session consists of is still there."""
    if not await asyncio.to_thread(namespace.exists, session.namespace):
        return False
    return all([await asyncio.to_thread(units.is_active, legs.unit(session.id, role)) for role in Role])
