"""The technician's port as the agent has it: from secondary-if-watcher, over the bus, for a session.

What the port is, that watcher decides. The loan survives it: one that comes back is asked
for the port again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dbus_fast.aio.message_bus import MessageBus

from tundev.contract import (
    BORROW,
    GET_INTERFACE,
    GIVE_BACK,
    INTERFACE_REMOVED,
    PORT_CHANGED,
    REPLUG,
    SET_NAME_SERVERS,
    WATCHER,
    PortKey,
    PortState,
)
from vtunlib import bus as buses
from vtunlib.errors import NoSession, NotFound, NotRunning, RdvError, SessionFailed
from vtunlib.tunnel import TunnelMode

CHECK_SECONDS = 5.0
"""How long a port that is being looked at is waited for by everybody: a look takes about a second."""
WATCHER_SECONDS = 10.0
"""How long a session goes on without the watcher: systemd starts it again after one second."""
CALL_SECONDS = 15.0
"""For one call; dnsmasq is started anew in it."""

_NOT_READY = {
    PortState.ABSENT: (
        "no USB-Ethernet adapter is plugged in",
        "plug the adapter into the master and the laptop into the adapter",
    ),
    PortState.NO_CABLE: (
        "the adapter has no link",
        "plug the laptop's network cable into the adapter, and see that the laptop is on",
    ),
    PortState.CHECKING: ("the adapter is not ready yet", "try again in a few seconds"),
    PortState.REFUSED: (
        "the adapter is not used",
        "unplug its cable from that network, and plug the laptop in",
    ),
    PortState.BORROWED: ("the adapter is in a session", "masterdev disconnect ends it"),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Use:
    """What a session wants of the port; lan in CIDR."""

    mode: TunnelMode
    lan: str
    servers: tuple[str, ...]


class BorrowedPort:
    """The port, and the loan of it while there is one.

    changed: called when anything of the port has changed. lost: called with why the session
    must end, and whether the technician wished it so by pulling a plug.
    """

    def __init__(self, changed: Callable[[], None], lost: Callable[[RdvError, bool], None]) -> None:
        self.values: dict[str, Any] = {}
        """As GetInterface answers; empty while no watcher does."""
        self._changed = changed
        self._lost = lost
        self._use: Use | None = None
        self._through = False
        self._bell = asyncio.Event()
        self._bus: MessageBus | None = None
        self._without: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> PortState | None:
        """None while no watcher answers."""
        try:
            return PortState(self.values.get(PortKey.STATE, ""))
        except ValueError:
            return None

    @property
    def interface(self) -> str | None:
        """Its name, while a session could have it, or has it."""
        ready = self.state in (PortState.READY, PortState.BORROWED)
        return self.values.get(PortKey.INTERFACE) if ready else None

    async def listen(self, bus: MessageBus) -> None:
        """Hear of it from now on. Raises RdvError."""
        self._bus = bus
        handlers: dict[str, Callable[..., None]] = {
            PORT_CHANGED: self._take,
            INTERFACE_REMOVED: self._removed,
        }
        for member, handler in handlers.items():
            await buses.on_signal(bus, WATCHER.name, WATCHER.path, WATCHER.interface, member, handler)
        await buses.on_owner(bus, WATCHER.name, self._watcher_changed)
        await self._ask()

    async def _ask(self) -> None:
        try:
            self._take(await self._call(GET_INTERFACE))
        except RdvError as error:
            log.debug("%s", error)
            self._take({})

    async def _call(self, member: str, signature: str = "", *arguments: Any) -> Any:
        assert self._bus is not None
        name, path, interface = WATCHER.name, WATCHER.path, WATCHER.interface
        return await buses.call(
            self._bus, name, path, interface, member, signature, *arguments, deadline=CALL_SECONDS
        )

    def _take(self, values: dict[str, Any]) -> None:
        self.values = buses.plain(values)
        self._bell.set()
        self._changed()

    def _removed(self, _interface: str, reason: str) -> None:
        # What keeps the port from being used is its reason, too; that a plug was pulled is none.
        if reason == self.values.get(PortKey.REASON):
            self._lost(SessionFailed(reason), False)
        else:
            self._lost(NoSession(reason), True)

    def _watcher_changed(self, owner: str) -> None:
        """It ended, or another began: the loan is asked for again, and what the port is."""
        if self._without is not None:
            self._without.cancel()
            self._without = None
        if owner:
            self._begin(self._again())
        else:
            self._take({})
            if self._use is not None:
                self._without = asyncio.get_running_loop().call_later(WATCHER_SECONDS, self._left_alone)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _again(self) -> None:
        if self._use is not None:
            try:
                await self._lend()
            except RdvError as error:
                self._lost(SessionFailed(f"the technician's port is not there any more: {error}"), False)
        await self._ask()

    def _left_alone(self) -> None:
        self._lost(SessionFailed(f"{WATCHER.unit} does not run any more"), False)

    # what a session does with it

    async def ready(self, patience: float, step: Callable[[str], None]) -> None:
        """Return when a session can have it, within `patience` seconds. Raises NotFound, NotRunning.

        step: told that it is waited for.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        check_until = loop.time() + CHECK_SECONDS
        told = False
        while self.state is not PortState.READY:
            self._bell.clear()
            checking = self.state is PortState.CHECKING
            left = (max(until, check_until) if checking else until) - loop.time()
            if left <= 0:
                raise self._not_ready()
            if not told and not checking:
                told = True
                step("waiting for the adapter")
            try:
                async with asyncio.timeout(left):
                    await self._bell.wait()
            except TimeoutError:
                raise self._not_ready() from None

    def _not_ready(self) -> RdvError:
        state = self.state
        if state is None:
            return NotRunning(f"{WATCHER.unit} does not run", f"'systemctl status {WATCHER.unit}' says why")
        text, hint = _NOT_READY.get(state, (str(state), ""))
        why = self.values.get(PortKey.REASON) or ", ".join(self.values.get(PortKey.LEFT_ALONE, []))
        return NotFound(f"{text}: {why}" if why else text, hint)

    async def borrow(self, use: Use) -> str:
        """Take it for a session; the interface's name. Raises RdvError.

        `give_back` is due from now on, however this ends: cut off, it may have been lent all the same.
        """
        self._use = use
        return await self._lend()

    async def _lend(self) -> str:
        assert self._use is not None
        use = self._use
        values = buses.plain(await self._call(BORROW, "ssas", use.mode, use.lan, list(use.servers)))
        if self._through:
            await self.ask_through(use.servers)
        return str(values[PortKey.INTERFACE])

    async def ask_through(self, servers: Sequence[str]) -> None:
        """From now on the laptop's questions for names go to these, through the tunnel. Raises RdvError."""
        self._through = True
        await self._call(SET_NAME_SERVERS, "as", list(servers))

    async def replug(self) -> None:
        """The laptop asks for an address in the network that it is bridged to. Raises RdvError."""
        await self._call(REPLUG)

    async def give_back(self) -> None:
        """The session is over; no error where the port is not borrowed. Raises RdvError."""
        if self._without is not None:
            self._without.cancel()
            self._without = None
        if self._use is not None:
            self._use, self._through = None, False
            try:
                await self._call(GIVE_BACK)
            except NotRunning:
                return  # it knows nothing of a loan when it is there again
