"""What both agents share: the way to the RDV server and back to its start, for ever.

`run` climbs the states of tundev.states. Whatever fails throws it back to the
last state that still holds, and it tries again after a pause that grows. What
a role does once it is connected is its `serve`.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, ClassVar

from dbus_fast import Message
from dbus_fast.aio.message_bus import MessageBus

from tundev import cleanup, introducing, lan, portal, reach
from tundev.backoff import Backoff
from tundev.contract import BUS_NAMES, STATUS_CHANGED, Key
from tundev.enrolment import OneTimeKey
from tundev.lan import Uplink
from tundev.settings import Settings, ensure_key
from tundev.shell_client import Command, Shell
from tundev.ssh_link import Endpoint, SshLink
from tundev.states import Facts, State, next_state
from tundev.transport import NO_WAY, Route, Routes, all_failed
from tundev.uplinks.client import UplinksClient
from vtunlib import bus as buses
from vtunlib.errors import AuthenticationRefused, RdvError, RdvUnreachable
from vtunlib.network import Item, Network
from vtunlib.service import Readiness
from vtunlib.tunnel import Role, UplinkType

log = logging.getLogger(__name__)


class Agent(ABC):
    """A device's agent. It owns its role's name on the bus while it runs."""

    role: ClassVar[Role]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.network = Network()
        self.uplink: Uplink | None = None
        self.lan: Uplink | None = None
        """The network that a session is given; mostly the uplink's."""
        self.lan_changed = asyncio.Event()
        self.failure: RdvError | None = None
        self._facts = Facts()
        self._routes = Routes(settings.config.rdv)
        self._route: Route | None = None
        self._oddity = ""
        self._uplink_changed = asyncio.Event()
        self._dialled_from: Uplink | None = None
        self._readiness = Readiness()
        self._bus: MessageBus | None = None
        self._uplinks: UplinksClient | None = None
        self._one_time_key = OneTimeKey(settings.config.rdv.enrol_key)
        self._observers: list[Callable[[dict[str, Any]], None]] = [self._signal_status]

    # what a role adds

    @abstractmethod
    def idle_items(self) -> list[Item]:
        """The network without a session."""

    @abstractmethod
    async def serve(self, shell: Shell) -> None:
        """Do the role's work until the connection is lost. Raises RdvError."""

    async def listen(self, bus: MessageBus) -> None:  # noqa: B027  # a role that needs nobody adds none
        """Hear on the bus what the role needs of others."""

    async def finish(self) -> None:  # noqa: B027  # the same
        """The agent ends: wait until what the role holds is undone."""

    def export(self, bus: MessageBus) -> None:  # noqa: B027  # a role without methods adds none
        """Put the role's methods on the bus."""

    def more_status(self) -> dict[str, Any]:
        """What the role adds to the status."""
        return {}

    def introduction(self) -> list[Command]:
        """What the role tells of itself besides what all devices do."""
        return []

    # life

    async def run(self) -> None:
        """For ever. Raises RdvError where it cannot even start."""
        contract = BUS_NAMES[self.role]
        await asyncio.to_thread(ensure_key)
        await asyncio.to_thread(cleanup.clean_up)
        await asyncio.to_thread(self.network.set, self.idle_items())
        self._bus = await buses.connect()
        self.export(self._bus)
        await self.listen(self._bus)
        self._uplinks = UplinksClient(self._bus, self.note, self.settings.uplink_type)
        await self._uplinks.follow()
        await buses.own(self._bus, contract.name)
        self._readiness.ready(next_state(self._facts))
        work = [asyncio.create_task(task) for task in (self._watch_uplink(), self._climb(), self._need_bus())]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._readiness.stopping()
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self.finish()
            await asyncio.to_thread(cleanup.clean_up)
            self._bus.disconnect()

    async def _need_bus(self) -> None:
        """Nobody can ask anything of an agent that has lost the bus; systemd starts it again."""
        assert self._bus is not None
        with suppress(Exception):  # whatever broke it
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        raise RdvError("the connection to the system bus broke")

    async def _climb(self) -> None:
        backoff = Backoff()
        while True:
            await self._wait_for_uplink()
            self._dialled_from = self.uplink
            try:
                await self._until_moved(self._attempt(backoff))
            except RdvError as error:
                self._failed(error)
            pause = backoff.next()
            try:
                # A network that comes or changes is worth a try at once, also if it did so meanwhile.
                async with asyncio.timeout(pause):
                    await self._uplink_changed.wait()
            except TimeoutError:
                continue

    def _failed(self, error: RdvError) -> None:
        log.warning("%s", error)
        self.failure = error
        self.note(
            resolved=False, reachable=False, secured=False, connected=False, tunnel=False, session=False
        )

    async def _wait_for_uplink(self) -> None:
        while self.uplink is None:
            self._uplink_changed.clear()
            await self._uplink_changed.wait()

    async def _attempt(self, backoff: Backoff) -> None:
        failures: dict[Route, RdvError] = {}
        for route in self._routes.order(self.uplink, asyncio.get_running_loop().time()):
            try:
                await self._go(route, backoff)
            except RdvError as error:
                if self._facts.connected or not isinstance(error, NO_WAY):
                    raise
                failures[route] = error
                self.note(resolved=False, reachable=False, secured=False)
            else:
                return
        raise await portal.explained(all_failed(failures), self.settings.server.host)

    async def _go(self, route: Route, backoff: Backoff) -> None:
        """Connect by this route and serve until that ends. Raises RdvError."""
        rdv = self.settings.config.rdv
        self._route, self._oddity = route, ""
        endpoint, self._oddity = await reach.open_way(rdv, route, self.note)
        try:
            await self._connect(route, endpoint, backoff)
        except AuthenticationRefused as error:
            await self._one_time_key.enrol(endpoint, error)
            await self._connect(route, endpoint, backoff)

    async def _connect(self, route: Route, endpoint: Endpoint, backoff: Backoff) -> None:
        async with SshLink(endpoint) as link:
            try:
                async with Shell(link.sock, endpoint.account) as shell:
                    network = await self.network_told()
                    who = self.settings.account, self.role
                    await introducing.introduce(shell, *who, network, self.introduction())
                    self.failure = None
                    self._routes.worked(route)
                    self.note(connected=True)
                    await self._one_time_key.used()
                    with backoff.connection():
                        await self.serve(shell)
            except RdvError as error:
                raise await link.verdict(error) from None

    async def _until_moved(self, going: Any) -> None:
        """Go on until that ends, or until this device has another address: what it has begun is dead then."""
        work = asyncio.ensure_future(going)
        try:
            while self.uplink in (None, self._dialled_from):
                self._uplink_changed.clear()
                moved = asyncio.create_task(self._uplink_changed.wait())
                await asyncio.wait({work, moved}, return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
                if work.done():
                    await work
                    return
            raise RdvUnreachable("the uplink changed")
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _watch_uplink(self) -> None:
        watched = lan.watch_networks(self.settings.interface, self.settings.uplink_type)
        async with aclosing(watched) as found:  # type: ignore[type-var]
            async for networks in found:
                if networks.lan != self.lan:
                    self.lan_changed.set()
                self.uplink, self.lan = networks.uplink, networks.lan
                self._uplink_changed.set()
                self.note(uplink=self.uplink is not None)

    async def network_told(self) -> list[Command]:
        """What tells the RDV of the network that a session is given: address and DNS servers."""
        self.lan_changed.clear()
        servers = await asyncio.to_thread(lan.dns_servers)
        return introducing.of_network(self.lan, servers)

    @property
    def dialled_by(self) -> Uplink | None:
        """The uplink that the RDV is connected by, else the one to dial by; None while there is none.

        A connection outlives its routes for a moment: until it is given up, it is not one by the new ones.
        """
        return self._dialled_from if self.uplink and self._facts.connected else self.uplink

    def uplink_type(self) -> UplinkType:
        """What this device reaches the RDV by."""
        return lan.uplink_type(self.dialled_by.link) if self.dialled_by else UplinkType.OTHER

    # what others see

    def note(self, **changes: bool) -> None:
        """Something of what the state is made from has changed, or something of the status."""
        former = next_state(self._facts)
        self._facts = replace(self._facts, **changes)
        state = next_state(self._facts)
        if state is not former:
            order = list(State)
            fell = order.index(state) < order.index(former)
            why = f": {self.failure}" if fell and self.failure else ""
            log.info("%s -> %s%s", former, state, why)
        self._readiness.status(f"{state}; {self.failure}" if self.failure else str(state))
        status = self.status()
        for observer in self._observers:
            observer(status)

    def observe(self, observer: Callable[[dict[str, Any]], None]) -> None:
        """Tell `observer` of each new status, as the bus is."""
        self._observers.append(observer)

    @property
    def state(self) -> State:
        """How far it is."""
        return next_state(self._facts)

    def status(self) -> dict[str, Any]:
        """By contract.Key; what there is nothing to tell of is absent."""
        uplink = self.dialled_by
        values: dict[str, Any] = {
            Key.ROLE: self.role,
            Key.ACCOUNT: self.settings.account,
            Key.SERVER: str(self.settings.server),
            Key.STATE: self.state,
            Key.FAILURE: str(self.failure) if self.failure else None,
            Key.FAILURE_CLASS: type(self.failure).__name__ if self.failure else None,
            Key.TRANSPORT: self._route,
            Key.NOTE: self._oddity or None,
            Key.UPLINK: uplink.link if uplink else None,
            Key.UPLINK_TYPE: str(self.uplink_type()) if uplink else None,
            Key.UPLINKS: self._uplinks.words() if self._uplinks else None,
            Key.ADDRESS: str(uplink.interface) if uplink else None,
            **self.more_status(),
        }
        return {str(key): value for key, value in values.items() if value is not None}

    def signal(self, member: str, signature: str, *body: Any) -> None:
        """Tell all who listen on the bus."""
        contract = BUS_NAMES[self.role]
        if self._bus is not None and self._bus.connected:
            self._bus.send(
                Message.new_signal(contract.path, contract.interface, member, signature, list(body))
            )

    def _signal_status(self, status: dict[str, Any]) -> None:
        self.signal(STATUS_CHANGED, "a{sv}", buses.variants(status))
