"""The technician's port from plug to unplug: facts come in, and the port is made what they ask for.

What follows from the facts is tundev.port.life; here is where they are kept, and the one
place where something is done about them: `_settle`, which is never entered twice at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbus_fast.aio.message_bus import MessageBus

from tundev.config import Config, Master
from tundev.contract import (
    BUS_NAMES,
    INTERFACE_REMOVED,
    MOVE_NOTICE,
    PortState,
)
from tundev.port import dnsmasq, events, life, others, surroundings, told
from tundev.port.adapters import Adapter, Choice
from tundev.port.cable import Cable
from tundev.port.life import HELD, Facts, Loan
from tundev.port.lookout import Lookout
from tundev.port.port import Port
from tundev.port.told import Announcements, Laptop, Tell
from vtunlib import bus as buses
from vtunlib.errors import Busy, NotAllowed, NotFound, RdvError, printable
from vtunlib.threads import to_its_end
from vtunlib.tunnel import Role, TunnelMode

AGENT = BUS_NAMES[Role.MASTER]
RECLAIM_SECONDS = 8.0
"""How long a session that a former watcher had lent the port to may take to ask for it again."""
AGAIN_SECONDS = 2.0
"""After the port could not be set up."""

log = logging.getLogger(__name__)


class Watcher:
    """Owns the port. `run` is its life; the rest is what the agent asks for."""

    def __init__(self, config: Config, bus: MessageBus, tell: Tell) -> None:
        self._master = config.master or Master()
        self._server = config.rdv.server.host
        self._bus = bus
        self._tell = tell
        self._port = Port(self._master.extremity_subnet, bus)
        self._agent = ""
        """Its connection to the bus; empty while none runs."""
        self._choice = Choice()
        self._facts = Facts()
        self._state = PortState.ABSENT
        self._cable = Cable(self._master.grace, lambda: self._port.replugged, self._cable_pulled)
        self._lookout = Lookout(
            clear=lambda: self._know(checked=True, slow=""),
            slow=lambda text: self._know(slow=text),
            found=lambda text: self._lose(stranger=text, slow=""),
        )
        self._rdv: tuple[ipaddress.IPv4Address, ...] = ()
        self._laptop: Laptop | None = None
        self._trouble: RdvError | None = None
        self._moving = ""
        self._announcements = Announcements(tell)
        self.seen = asyncio.Event()
        """It is known what is plugged in: what is asked of the port can be answered."""
        self._changed = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    # its life

    async def begin(self, *, claimed: bool) -> None:
        """Take over what a former watcher left. claimed: a session has the port from it. Raises RdvError."""
        await asyncio.to_thread(self._port.adopt)
        await dnsmasq.on_leases(self._bus, self._leased)
        await buses.on_owner(self._bus, dnsmasq.BUS_NAME, self._dnsmasq_changed)
        await buses.on_owner(self._bus, AGENT.name, self._agent_changed)
        there = await buses.owner(self._bus, AGENT.name)
        self._agent = self._agent or there
        if claimed:
            self._facts = replace(self._facts, claimed=True)
            asyncio.get_running_loop().call_later(RECLAIM_SECONDS, self._claim_is_over)

    async def run(self) -> None:
        """Until it is cancelled; raises what it cannot go on after."""
        lives = (
            self._follow(),
            self._follow_surroundings(),
            surroundings.keep_finding(self._server, self._rdv_found),
            self._settle_always(),
        )
        work = [asyncio.create_task(one) for one in lives]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._lookout.stop()
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self._leave()

    async def _leave(self) -> None:
        """A session goes on without a watcher for a while, as when one is killed; else the port is closed."""
        adapter = self._facts.adapter
        if self._state is PortState.READY and adapter is not None:
            self._tell(INTERFACE_REMOVED, "ss", adapter.name, "the service of the port was stopped")
        if self._state is not PortState.BORROWED:
            await asyncio.to_thread(self._port.close, adapter)

    def _claim_is_over(self) -> None:
        if self._facts.claimed:
            self._know(claimed=False)

    # what is learnt

    def _know(self, **facts: Any) -> None:
        self._facts = replace(self._facts, **facts)
        self._changed.set()

    def _lose(self, **facts: Any) -> None:
        """As _know; a session that has the port must end."""
        loan = self._facts.loan
        self._know(loan=loan and replace(loan, over=True), **facts)

    async def _follow(self) -> None:
        async with aclosing(events.watch(self._master)) as choices:
            async for choice in choices:
                self._take(choice)

    def _take(self, choice: Choice) -> None:
        former, port = self._choice.port, choice.port
        others.tell(self._choice, choice)
        self._choice = choice
        if port is None or former is None or (former.plug, former.name) != (port.plug, port.name):
            self._cable.forget()
            self._lookout.stop()
            self._port.new_adapter()
            self._laptop = None
            self._facts = Facts(loan=self._facts.loan, claimed=self._facts.claimed)
            self._lose()
        self._know(adapter=port)
        if port is not None:
            if not port.carrier:
                self._lookout.stop()
            # From where another network is, a cable is pulled for good.
            self._cable.take(port.carrier, patient=not self._facts.stranger)
            self._know(linked=self._cable.linked)
        self.seen.set()

    def _cable_pulled(self) -> None:
        self._laptop = None
        self._lose(linked=False, checked=False, stranger="", slow="")

    async def _follow_surroundings(self) -> None:
        async with aclosing(surroundings.changes()) as changes:
            async for _ in changes:
                self._changed.set()

    def _rdv_found(self, addresses: tuple[ipaddress.IPv4Address, ...]) -> None:
        self._rdv = addresses
        self._changed.set()

    def _leased(self, address: str, mac: str, name: str) -> None:
        if address:
            self._laptop = Laptop(printable(address, 15), mac, printable(name, 60))
        elif self._laptop is not None and self._laptop.mac == mac:
            self._laptop = None
        self._changed.set()

    def _dnsmasq_changed(self, owner: str) -> None:
        """It was started anew, by us or by systemd after a crash, and knows no servers."""
        if owner and self._port.servers is not None:
            self._port.servers = None
            self._changed.set()

    def _agent_changed(self, owner: str) -> None:
        """An agent that died has given the port back."""
        self._agent = owner
        loan = self._facts.loan
        if loan is not None and loan.borrower != owner:
            self._returned(loan)
        if not owner:
            self._claim_is_over()

    # what is done about it

    async def _settle_always(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            waiting, self._waiting = self._waiting, []
            self._trouble, adapter = None, self._facts.adapter
            try:
                await self._settle()
            except RdvError as error:
                self._failed(error, adapter)
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _failed(self, error: RdvError, adapter: Adapter | None) -> None:
        """adapter: which the port was to be."""
        now = self._facts.adapter
        same = adapter is None or (now is not None and now.plug == adapter.plug)
        if not same or (adapter is not None and not Path("/sys/class/net", adapter.name).exists()):
            return  # it went away meanwhile, which is told, or about to be
        self._trouble = error
        log.error("cannot set the port up: %s", error)
        state = life.next_state(self._facts)
        self._announce(PortState.CHECKING if state in HELD else state)
        asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._changed.set)

    async def _settle(self) -> None:
        facts = self._facts
        state = life.next_state(facts)
        looking = self._cable.carrier and not (facts.bridged or facts.claimed) and facts.adapter is not None
        self._lookout.tend(facts.adapter.name if looking and facts.adapter else None)
        if state not in HELD:
            # Told first: what hangs on the port ends the sooner.
            self._announce(state)
        if not facts.claimed:
            await self._give_notice(facts, state)
            await to_its_end(self._port.make, facts, state, self._rdv)
            await self._port.tell_servers(facts)
        if state in HELD and life.next_state(self._facts) is state:  # else there is more to do
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
        self._state = state
        gone = str(self._trouble) if self._trouble else life.why_removed(state, self._facts)
        self._announcements.make(self.values(), gone)

    # what others ask for

    @property
    def state(self) -> PortState:
        """As it was told last."""
        return self._state

    def values(self) -> dict[str, Any]:
        """By contract.PortKey."""
        reason = str(self._trouble) if self._trouble else life.reason(self._state, self._facts)
        return told.values(
            self._state,
            self._choice,
            self._port.subnet,
            self._port.servers,
            self._laptop,
            reason=reason,
            moving=self._moving,
        )

    async def borrow(
        self,
        borrower: str,
        mode: TunnelMode,
        customer: ipaddress.IPv4Network | None,
        servers: tuple[ipaddress.IPv4Address, ...],
    ) -> dict[str, Any]:
        """As contract.BORROW. Raises Busy, NotAllowed, NotFound."""
        # Nothing is awaited before the port is lent: a GiveBack that came after this call would find nothing.
        if borrower != self._agent:
            raise NotAllowed("the technician's port is lent to the agent alone")
        if self._facts.loan is not None and not self._facts.loan.over:
            raise Busy("a session has the technician's port already")
        if not life.may_borrow(self._facts):
            raise NotFound(f"the technician's port is not ready: {self._state}")
        self._know(loan=Loan(borrower, mode, customer, servers), claimed=False, checked=True)
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

    async def _settled(self) -> None:
        """Until all that is known now is done."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._changed.set()
        await future
