"""The technician's port from plug to unplug: facts come in, and the port is made what they ask for.

What follows from the facts is tundev.port.life; here is where they are kept, and the one
place where something is done about them: `_settle`, which is never entered twice at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbus_fast.aio.message_bus import MessageBus

from tundev import lan
from tundev.config import Config, Master
from tundev.contract import (
    INTERFACE_ADDED,
    INTERFACE_REMOVED,
    MOVE_NOTICE,
    PORT_CHANGED,
    PortKey,
    PortState,
)
from tundev.port import dnsmasq, events, life, strangers
from tundev.port.adapters import Adapter, Choice
from tundev.port.life import HELD, Facts, Loan
from tundev.port.port import Port
from vtunlib import bus as buses
from vtunlib.errors import Busy, NotFound, RdvError, printable
from vtunlib.threads import left_behind, to_its_end
from vtunlib.tunnel import TunnelMode

RECLAIM_SECONDS = 8.0
"""How long a session that a former watcher had lent the port to may take to ask for it again."""
AGAIN_SECONDS = 2.0
"""After the port could not be set up."""

log = logging.getLogger(__name__)

Tell = Callable[..., None]
"""Member, signature and arguments of a signal."""


class Watcher:
    """Owns the port. `run` is its life; the rest is what the agent asks for."""

    def __init__(self, config: Config, bus: MessageBus, tell: Tell) -> None:
        self._master = config.master or Master()
        self._server = config.rdv.server.host
        self._bus = bus
        self._tell = tell
        self._port = Port(self._master.extremity_subnet, bus)
        self._choice = Choice()
        self._facts = Facts()
        self._state = PortState.ABSENT
        self._carrier = False
        self._away_since = 0.0
        self._link_timer: asyncio.TimerHandle | None = None
        self._guard: asyncio.Task[None] | None = None
        self._rdv: tuple[ipaddress.IPv4Address, ...] = ()
        self._laptop: tuple[str, str, str] | None = None
        self._trouble: RdvError | None = None
        self._moving = ""
        self._told: dict[str, Any] = {}
        self._changed = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._stop_minding: buses.Stop | None = None

    # its life

    async def begin(self, *, claimed: bool) -> None:
        """Take over what a former watcher left. claimed: a session has the port from it. Raises RdvError."""
        await asyncio.to_thread(self._port.adopt)
        await dnsmasq.on_leases(self._bus, self._leased)
        await buses.on_owner(self._bus, dnsmasq.BUS_NAME, self._dnsmasq_changed)
        if claimed:
            self._facts = replace(self._facts, claimed=True)
            asyncio.get_running_loop().call_later(RECLAIM_SECONDS, self._claim_is_over)

    async def run(self) -> None:
        """Until it is cancelled; raises what it cannot go on after. Leaves the port closed."""
        work = [
            asyncio.create_task(one) for one in (self._follow(), self._follow_uplink(), self._settle_always())
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*work, *([self._guard] if self._guard else [])):
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            if self._state in HELD and self._facts.adapter is not None:
                self._tell(
                    INTERFACE_REMOVED, "ss", self._facts.adapter.name, "the service of the port was stopped"
                )
            await asyncio.to_thread(self._port.close, self._facts.adapter)

    def _claim_is_over(self) -> None:
        if self._facts.claimed:
            self._know(claimed=False)

    # what is learnt

    def _know(self, **facts: Any) -> None:
        self._facts = replace(self._facts, **facts)
        self._changed.set()

    async def _follow(self) -> None:
        async with aclosing(events.watch(self._master)) as choices:
            async for choice in choices:
                self._take(choice)

    def _take(self, choice: Choice) -> None:
        former, port = self._choice.port, choice.port
        self._choice = choice
        if port is None or former is None or (former.plug, former.name) != (port.plug, port.name):
            self._stop_guard()
            loan = self._facts.loan
            self._facts = Facts(loan=loan and replace(loan, over=True), claimed=self._facts.claimed)
            self._carrier, self._laptop = False, None
            self._port.new_adapter()
        self._know(adapter=port)
        if port is not None:
            self._link(port)

    def _link(self, port: Adapter) -> None:
        """The cable was plugged in or pulled, or the link was switched off and on."""
        if self._link_timer is not None:
            self._link_timer.cancel()
            self._link_timer = None
        now = time.monotonic()
        if port.carrier:
            self._carrier = True
            self._know(linked=True)
            return
        if self._carrier:
            self._carrier, self._away_since = False, now
            self._stop_guard()
        replugged = None if self._port.replugged is None else now - self._port.replugged
        left = life.patience(away=now - self._away_since, grace=self._master.grace, replugged=replugged)
        if self._facts.linked and left > 0 and not self._facts.stranger:
            self._link_timer = asyncio.get_running_loop().call_later(left, self._link, port)
            return
        loan = self._facts.loan
        self._laptop = None
        self._know(linked=False, checked=False, stranger="", loan=loan and replace(loan, over=True))

    async def _follow_uplink(self) -> None:
        async with aclosing(lan.watch_uplink()) as uplinks:  # type: ignore[type-var]
            async for _ in uplinks:
                self._changed.set()
                try:
                    found = await left_behind(socket.getaddrinfo, self._server, None, socket.AF_INET)
                except OSError:  # no network, or a name that nobody knows now
                    continue
                rdv = tuple(sorted({ipaddress.IPv4Address(entry[4][0]) for entry in found}))
                if rdv != self._rdv:
                    self._rdv = rdv
                    self._changed.set()

    def _leased(self, address: str, mac: str, name: str) -> None:
        if address:
            self._laptop = (printable(address, 15), mac, printable(name, 60))
        elif self._laptop is not None and self._laptop[1] == mac:
            self._laptop = None
        self._changed.set()

    def _dnsmasq_changed(self, owner: str) -> None:
        """It was started anew, by us or by systemd after a crash, and knows no servers."""
        if owner and self._port.servers is not None:
            self._port.servers = None
            self._changed.set()

    async def _look(self, adapter: Adapter) -> None:
        """Whether somebody else's network is on it: before ours answers, and for as long as it does."""
        try:
            found = await strangers.look(adapter.name, tell=lambda text: self._know(slow=text))
            if found is None:
                self._know(checked=True, slow="")
                async with aclosing(strangers.watch(adapter.name)) as more:
                    found = await anext(more)
        except NotFound as error:  # the cable was pulled: it is looked at again when it is back
            log.debug("%s", error)
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._look_again, asyncio.current_task())
            return
        loan = self._facts.loan
        self._know(stranger=found.text, slow="", loan=loan and replace(loan, over=True))

    def _look_again(self, former: asyncio.Task[None]) -> None:
        if self._guard is former:
            self._guard = None
            self._changed.set()

    def _tend_guard(self) -> None:
        facts = self._facts
        if not self._carrier or facts.bridged or facts.claimed or facts.adapter is None:
            self._stop_guard()
        elif self._guard is None:
            self._guard = asyncio.create_task(self._look(facts.adapter))
            self._guard.add_done_callback(_look_at)

    def _stop_guard(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None

    # what is done about it

    async def _settle_always(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            waiting, self._waiting = self._waiting, []
            self._trouble = None
            try:
                await self._settle()
            except RdvError as error:
                self._failed(error)
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _failed(self, error: RdvError) -> None:
        self._trouble = error
        adapter = self._facts.adapter
        if adapter is not None and not Path("/sys/class/net", adapter.name).exists():
            return  # it went away meanwhile, which is about to be told
        log.error("cannot set the port up: %s", error)
        state = life.next_state(self._facts)
        self._announce(PortState.CHECKING if state in HELD else state)
        asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._changed.set)

    async def _settle(self) -> None:
        facts = self._facts
        state = life.next_state(facts)
        self._tend_guard()
        if state not in HELD:
            # Told first: what hangs on the port ends the sooner.
            self._announce(state)
        if not facts.claimed:
            await self._give_notice(facts, state)
            await to_its_end(self._port.make, facts, state, self._rdv)
            await self._port.tell_servers(facts)
        if state in HELD:
            self._announce(state)

    async def _give_notice(self, facts: Facts, state: PortState) -> None:
        """Tell of an address that is about to change, for as long as a page can be told by the old one."""
        former, adapter = self._port.subnet, facts.adapter
        if former is None or adapter is None or state not in HELD or facts.bridged:
            return
        coming = await asyncio.to_thread(self._port.choose, adapter, facts.loan, self._rdv)
        if coming.address != former.address:
            self._moving = str(coming.address)
            self._announce(self._state)
            await asyncio.sleep(MOVE_NOTICE)
            self._moving = ""

    def _announce(self, state: PortState) -> None:
        """Tell of the state, and of all that can be asked for."""
        former, self._state = self._state, state
        adapter = self._facts.adapter
        interface = self._told.get(PortKey.INTERFACE, "") if former in HELD else adapter and adapter.name
        values = self.values()
        if values == self._told:
            return
        self._told = values
        self._tell(PORT_CHANGED, "a{sv}", buses.variants(values))
        if state is former:
            return
        why = f": {values[PortKey.REASON]}" if PortKey.REASON in values else ""
        log.info("%s -> %s%s", former, state, why)
        if state in HELD and former not in HELD:
            self._tell(INTERFACE_ADDED, "s", interface)
        elif former in HELD and state not in HELD:
            gone = str(self._trouble) if self._trouble else life.why_removed(state, self._facts)
            self._tell(INTERFACE_REMOVED, "ss", interface, gone)

    # what others ask for

    @property
    def state(self) -> PortState:
        """As it was told last."""
        return self._state

    def values(self) -> dict[str, Any]:
        """By contract.PortKey; what there is nothing to tell of is absent."""
        adapter, subnet = self._facts.adapter, self._port.subnet
        reason = str(self._trouble) if self._trouble else life.reason(self._state, self._facts)
        values: dict[str, Any] = {PortKey.STATE: self._state, PortKey.REASON: reason}
        if adapter is not None:
            values |= {
                PortKey.INTERFACE: adapter.name,
                PortKey.DRIVER: adapter.driver,
                PortKey.PRODUCT: adapter.product,
                PortKey.MAC: adapter.mac,
            }
        if subnet is not None and self._state in HELD:
            values |= {PortKey.ADDRESS: str(subnet.address), PortKey.MOVED: subnet.moved}
            values[PortKey.MOVING] = self._moving
            values[PortKey.DNS] = [server.partition("@")[0] for server in self._port.servers or ()]
            if self._laptop is not None:
                values |= {PortKey.LEASE: self._laptop[0], PortKey.LAPTOP: self._laptop[2]}
        values[PortKey.WAITING] = [
            f"{other.name} ({other.product})" if other.product else other.name
            for other in self._choice.waiting
        ]
        return {str(key): value for key, value in values.items() if value}

    async def borrow(
        self,
        borrower: str,
        mode: TunnelMode,
        customer: ipaddress.IPv4Network | None,
        servers: tuple[ipaddress.IPv4Address, ...],
    ) -> dict[str, Any]:
        """As contract.BORROW. Raises Busy, NotFound."""
        if self._facts.loan is not None and not self._facts.loan.over:
            raise Busy("a session has the technician's port already")
        if not life.may_borrow(self._facts):
            raise NotFound(f"the technician's port is not ready: {self._state}")
        self._know(loan=Loan(borrower, mode, customer, servers), claimed=False, checked=True)
        self._stop_minding = await buses.on_owner(self._bus, borrower, self._borrower_changed)
        if not await buses.owner(self._bus, borrower):
            self._borrower_changed("")
        await self._settled()
        if self._state is not PortState.BORROWED:
            error = self._trouble or NotFound("the technician's port went away")
            await self.give_back(borrower)
            raise error
        return self.values()

    async def set_name_servers(self, borrower: str, servers: tuple[ipaddress.IPv4Address, ...]) -> None:
        """As contract.SET_NAME_SERVERS. Raises NotFound."""
        loan = self._need_loan(borrower)
        self._know(loan=replace(loan, servers=servers, through=True))
        await self._settled()

    async def replug(self, borrower: str) -> None:
        """As contract.REPLUG. Raises NotFound."""
        self._need_loan(borrower)
        adapter = self._facts.adapter
        if adapter is not None:
            await to_its_end(self._port.replug, adapter)

    def _need_loan(self, borrower: str) -> Loan:
        loan = self._facts.loan
        if loan is None or loan.over or loan.borrower != borrower:
            raise NotFound("the technician's port is not borrowed any more")
        return loan

    async def give_back(self, borrower: str) -> None:
        """As contract.GIVE_BACK."""
        loan = self._facts.loan
        if loan is None or loan.borrower != borrower:
            return
        self._returned(loan)
        await self._settled()

    def _returned(self, loan: Loan) -> None:
        # What the customer's switch has told in L2 says nothing about the laptop's cable.
        bridged = loan.mode is TunnelMode.L2
        self._know(loan=None, checked=self._facts.checked and not bridged)

    def _borrower_changed(self, owner: str) -> None:
        if not owner and self._facts.loan is not None:
            self._returned(self._facts.loan)

    async def _settled(self) -> None:
        """Until all that is known now is done."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._changed.set()
        await future


def _look_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("cannot look for other networks on the port: %s", task.exception())
