"""What the port is made: its network, dnsmasq on it, and which servers that asks for names.

All effects on the port are here. Nothing is decided but the laptop's subnet.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Iterable

from dbus_fast.aio.message_bus import MessageBus

from tundev import lan, paths
from tundev.contract import PortState
from tundev.port import dnsmasq, laptop, networks, subnets
from tundev.port.adapters import Adapter
from tundev.port.life import HELD, Facts, Loan
from tundev.port.subnets import Subnet
from vtunlib.errors import RdvError
from vtunlib.network import LinkUp, Network
from vtunlib.network.kernel import Kernel
from vtunlib.threads import to_its_end

_COMING = frozenset({PortState.NO_CABLE, PortState.CHECKING})
"""States that READY may follow."""

log = logging.getLogger(__name__)


class Port:
    """The port as it was made. Its methods are not to be called twice at once."""

    def __init__(self, configured: ipaddress.IPv4Network, bus: MessageBus) -> None:
        self._configured = configured
        self._bus = bus
        self._network = Network()
        self.subnet: Subnet | None = None
        """The laptop's network, while it has one from here."""
        self.servers: tuple[str, ...] | None = None
        """What dnsmasq asks for names; None where nobody has told it since it was started."""
        self.replugged: float | None = None
        """When the link was taken down and up last, by time.monotonic."""
        self._in_config: tuple[str, ...] = ()
        self._home: Subnet | None = None
        self._replug_due = False
        self._new = self._held = False

    def adopt(self) -> None:
        """Take over what a watcher that is dead by now has set. Raises RdvError."""
        with Kernel() as kernel:
            self._network.adopt(laptop.left_behind(kernel))

    def close(self, adapter: Adapter | None) -> None:
        """No addresses for anybody, and no way but that of a session that is there still. Raises RdvError."""
        dnsmasq.stop()
        self._held = False
        self._network.set(laptop.closed(adapter.name) if adapter else [])
        self.subnet = self.servers = None

    def new_adapter(self) -> None:
        """Forget what was of the adapter before."""
        self.replugged = self._home = None
        self._replug_due, self._new = False, True

    def make(self, facts: Facts, state: PortState, rdv: Iterable[ipaddress.IPv4Address]) -> None:
        """Make of it what the facts ask for. Synchronous, by asyncio.to_thread. Raises RdvError.

        rdv: the server's addresses.
        """
        adapter, loan = facts.adapter, facts.loan
        if adapter is not None and loan is None and state in _COMING:
            self._prepare(adapter, rdv)
            return
        if adapter is None or state not in HELD or facts.bridged:
            self.close(adapter)
            self._replug_due = adapter is not None and (self._replug_due or state is PortState.BORROWED)
            return
        former, subnet = self.subnet, self.choose(adapter, loan, rdv)
        self._home = (self._home or former) if loan else None
        self._network.set(laptop.addressed(adapter.name, subnet.address))
        self.subnet = subnet
        if self._in_config != _servers(facts):
            self._in_config = ()  # they would stay, whatever it is told on the bus
        if dnsmasq.serve(adapter.name, dnsmasq.config(adapter.name, subnet, self._in_config)):
            self.servers = None
        elif self._held:
            dnsmasq.release(adapter.name)
        self._held = False
        if self._replug_due or former not in (None, subnet):
            self.replug(adapter)

    def _prepare(self, adapter: Adapter, rdv: Iterable[ipaddress.IPv4Address]) -> None:
        """All but answering: what a laptop asks while it is looked whether it is one is answered afterwards.

        It asks when it has a link, and then not for seconds: a new adapter gets its link last.
        """
        self.subnet = self.servers = None
        subnet = self.choose(adapter, None, rdv)
        items = laptop.addressed(adapter.name, subnet.address, answering=False)
        if self._new:
            self._held = False
            dnsmasq.stop()  # it may be bound to an interface of the same name that is gone
            self._network.set([item for item in items if not isinstance(item, LinkUp)])
        else:
            self._network.set(items)
        if dnsmasq.serve(adapter.name, dnsmasq.config(adapter.name, subnet)) or not self._held:
            dnsmasq.hold(adapter.name)
            self._held = True
        self._network.set(items)
        self._new = False

    def choose(self, adapter: Adapter, loan: Loan | None, rdv: Iterable[ipaddress.IPv4Address]) -> Subnet:
        """The subnet that `make` gives the laptop. Synchronous. Raises RdvError."""
        with Kernel() as kernel:
            taken = networks.of_device(kernel, adapter.name, rdv)
        if loan is not None:
            taken += subnets.of_customer(loan.lan, loan.servers)
        current = self.subnet if loan else self._home or self.subnet
        return subnets.choose(self._configured, taken, current)

    def replug(self, adapter: Adapter) -> None:
        """Have the laptop ask for an address. Synchronous. Raises RdvError."""
        self._replug_due = False
        self.replugged = time.monotonic()
        with Kernel() as kernel:
            laptop.replug(kernel, adapter.name)

    async def tell_servers(self, facts: Facts) -> None:
        """Have dnsmasq ask the servers of these facts. Raises RdvError."""
        if self.subnet is None or facts.adapter is None:
            return
        wanted = await asyncio.to_thread(_servers, facts)
        if self.servers != wanted and (not wanted or self._in_config != wanted):
            try:
                await dnsmasq.ask_these(self._bus, wanted)
            except RdvError as error:
                log.warning("dnsmasq is started anew for its servers; the bus does not reach it: %s", error)
                self._in_config = wanted
                text = dnsmasq.config(facts.adapter.name, self.subnet, wanted)
                await to_its_end(dnsmasq.serve, facts.adapter.name, text)
        self.servers = wanted


def _servers(facts: Facts) -> tuple[str, ...]:
    """In a session the customer's, by the tunnel alone and once it is there, else this device's own."""
    if facts.loan is None:
        return tuple(str(server) for server in lan.dns_servers())
    return tuple(f"{server}@{paths.LEG}" for server in facts.loan.servers if facts.loan.through)
