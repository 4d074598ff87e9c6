"""secondary-if-watcher: the technician's port, from the adapter that is plugged in to the laptop's address.

It answers on the bus (tundev.contract). What the port is, and what is made of it, is
tundev.port.watcher; the tunnel is the agent's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import sys
from collections.abc import Coroutine
from typing import Any

from dbus_fast import Message
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface

from tundev import config
from tundev.contract import (
    BORROW,
    BUS_NAMES,
    GET_INTERFACE,
    GIVE_BACK,
    PORT_CHANGED,
    REPLUG,
    SET_NAME_SERVERS,
    STATUS,
    WATCHER,
    Key,
)
from tundev.port import dnsmasq
from tundev.port.watcher import Watcher
from vtunlib import bus as buses
from vtunlib.errors import RdvError, UsageError
from vtunlib.service import Readiness, until_told
from vtunlib.tunnel import Role, TunnelMode

log = logging.getLogger(__name__)


class _Interface(ServiceInterface):
    """org.rdv.SecondaryIfWatcher1."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        super().__init__(WATCHER.interface)

    @buses.answers(GET_INTERFACE)
    @buses.annotated("a{sv}")
    def get_interface(self):  # type: ignore[no-untyped-def]
        return buses.variants(self._watcher.values())

    @buses.answers(BORROW)
    @buses.annotated("a{sv}", mode="s", lan="s", servers="as")
    async def borrow(self, mode, lan, servers):  # type: ignore[no-untyped-def]
        borrower = buses.sender()
        network = _parsed(ipaddress.IPv4Interface, lan).network if lan else None
        values = await self._watcher.borrow(borrower, TunnelMode.parse(mode), network, _addresses(servers))
        return buses.variants(values)

    @buses.answers(SET_NAME_SERVERS)
    @buses.annotated("", servers="as")
    async def set_name_servers(self, servers):  # type: ignore[no-untyped-def]
        await self._watcher.set_name_servers(buses.sender(), _addresses(servers))

    @buses.answers(REPLUG)
    @buses.annotated("")
    async def replug(self):  # type: ignore[no-untyped-def]
        await self._watcher.replug(buses.sender())

    @buses.answers(GIVE_BACK)
    @buses.annotated("")
    async def give_back(self):  # type: ignore[no-untyped-def]
        await self._watcher.give_back(buses.sender())


def _addresses(words: list[str]) -> tuple[ipaddress.IPv4Address, ...]:
    return tuple(_parsed(ipaddress.IPv4Address, word) for word in words)


def _parsed(kind: Any, word: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        raise UsageError(f"{word!r} is no IPv4 address") from None


async def _session_has_the_port(bus: MessageBus) -> bool:
    """Whether the agent is in a session, which has the port from a watcher that is dead by now."""
    agent = BUS_NAMES[Role.MASTER]
    if not await buses.owner(bus, agent.name):
        return False
    try:
        status = buses.plain(
            await buses.call(bus, agent.name, agent.path, agent.interface, STATUS, deadline=5)
        )
    except RdvError:
        return False
    return bool(status.get(Key.SESSION))


async def serve() -> None:
    """Until told to end. Raises RdvError where it cannot even start."""
    settings = config.load()
    bus = await buses.connect()

    def tell(member: str, signature: str, *body: Any) -> None:
        bus.send(Message.new_signal(WATCHER.path, WATCHER.interface, member, signature, list(body)))
        if member == PORT_CHANGED:
            readiness.status(str(watcher.state))

    readiness = Readiness()
    watcher = Watcher(settings, bus, tell)
    try:
        bus.export(WATCHER.path, _Interface(watcher))
        await watcher.begin(claimed=await _session_has_the_port(bus))
        living = asyncio.create_task(watcher.run())
        try:
            await _alive(living, watcher.seen.wait())
            await buses.own(bus, WATCHER.name)
            readiness.ready(str(watcher.state))
            await _alive(living, until_told(asyncio.ensure_future(bus.wait_for_disconnect())))  # type: ignore[no-untyped-call]
        finally:
            readiness.stopping()
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
    finally:
        bus.disconnect()


async def _alive(living: asyncio.Task[None], what: Coroutine[Any, Any, object]) -> None:
    """Await `what`, or raise what `living` ends with before that."""
    task = asyncio.create_task(what)
    await asyncio.wait({living, task}, return_when=asyncio.FIRST_COMPLETED)
    if living.done():
        task.cancel()
        living.result()
        raise RdvError("nobody looks after the port any more")
    await task


def main() -> int:
    """Entry of /usr/lib/tundev/secondary-if-watcher; --closed: after it has ended, however that was."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if sys.argv[1:] == ["--closed"]:
            # Nobody looks for other networks on the port any more: nothing of ours may answer there.
            dnsmasq.stop()
        else:
            asyncio.run(serve())
    except RdvError as error:
        log.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
