"""The manager as its clients see it: calls by contract, its signals, its coming and going."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast.aio.message_bus import MessageBus

from rdv.contract import BUS_NAME, PATH, Method, Signal
from vtunlib import bus as buses
from vtunlib.errors import NotRunning, RdvError, Timeout

_DBUS = "org.freedesktop.DBus"

log = logging.getLogger(__name__)


class ManagerAway(RdvError):
    """The manager is being restarted; devices stay connected meanwhile."""

    def __init__(self) -> None:
        super().__init__("the RDV's manager is away", "try again in a moment")

    def shell_line(self) -> str:
        """As a plain RdvError: a device need not know this class."""
        return RdvError(self.message, self.hint).shell_line()


class ManagerLink:
    """One client's link to the manager. came: called each time the manager appears, gone: disappears."""

    def __init__(self, bus: MessageBus, *, came: Callable[[], None], gone: Callable[[], None]) -> None:
        self._bus = bus
        self._came = came
        self._gone = gone
        self._owner = ""
        self._handlers: dict[str, Callable[..., None]] = {}
        bus.add_message_handler(self._receive)

    def on(self, signal: Signal, handler: Callable[..., None]) -> None:
        """Call `handler` with the signal's body, each time the manager sends it."""
        self._handlers[signal.member] = handler

    async def start(self) -> None:
        """Listen from now on; `came` is called if the manager is there."""
        for rule in (
            f"type='signal',sender='{BUS_NAME}',path='{PATH}'",
            f"type='signal',sender='{_DBUS}',member='NameOwnerChanged',arg0='{BUS_NAME}'",
        ):
            await buses.call(self._bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", rule)
        self._is(await buses.owner(self._bus, BUS_NAME))

    async def call(self, method: Method, *arguments: Any, fds: Sequence[int] = ()) -> Any:
        """The answer: None, the one value, or a list. Raises the manager's errors, ManagerAway."""
        return await call(self._bus, method, *arguments, fds=fds)

    def _is(self, owner: str) -> None:
        if owner == self._owner:
            return
        former, self._owner = self._owner, owner
        if former:
            self._gone()
        if owner:
            self._came()

    def _receive(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        # Any process may send a signal that looks like these: the sender's name is the bus's own word.
        if message.sender == _DBUS and message.member == "NameOwnerChanged":
            if message.body[0] == BUS_NAME:
                self._is(message.body[2])
        elif message.sender == self._owner and message.path == PATH and message.member in self._handlers:
            self._handlers[message.member](*message.body)


async def call(bus: MessageBus, method: Method, *arguments: Any, fds: Sequence[int] = ()) -> Any:
    """Call the manager once. Raises its errors, ManagerAway where it is not there or does not answer."""
    try:
        return await buses.call(
            bus, BUS_NAME, PATH, method.interface, method.member, method.takes, *arguments, unix_fds=list(fds)
        )
    except (NotRunning, Timeout) as error:
        log.warning("%s: %s", method.member, error)
        raise ManagerAway from None
