"""Serving methods of the contract: to each handler the caller's bus name and descriptors.

Any local process may send a signal, with descriptors, to this connection; all
that is not handed to a handler is closed here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio.message_bus import MessageBus

from rdv.contract import Method, Signal, introspection
from vtunlib import bus as buses
from vtunlib.errors import NotRunning, RdvError

_DBUS = "org.freedesktop.DBus"
_INVALID = "org.freedesktop.DBus.Error.InvalidArgs"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One call. fds: closed as soon as the handler has ended; it keeps copies."""

    sender: str
    arguments: Sequence[Any]
    fds: Sequence[int]


Handler = Callable[[Call], Awaitable[Sequence[Any]]]
"""Returns the values of the answer. RdvErrors cross the bus under their names."""


class BusServer:
    """Answers calls at one object path, and knows when a caller has gone."""

    def __init__(
        self,
        bus: MessageBus,
        path: str,
        handlers: Mapping[Method, Handler],
        gone: Callable[[str], None],
    ) -> None:
        self._bus = bus
        self._path = path
        self._handlers = {
            (method.interface, method.member): (method, handlers[method]) for method in handlers
        }
        self._gone = gone
        self._watched: set[str] = set()
        self._serving: set[asyncio.Task[None]] = set()
        bus.add_message_handler(self._receive)

    def emit(self, signal: Signal, *body: Any) -> None:
        """Broadcast a signal; the bus's policy says who hears it."""
        message = Message.new_signal(self._path, signal.interface, signal.member, signal.body, list(body))
        if self._bus.connected:
            self._bus.send(message)

    async def watch(self, sender: str) -> None:
        """Call `gone` as soon as the bus connection `sender` has ended. NotRunning if it has already."""
        if sender in self._watched:
            return
        self._watched.add(sender)
        try:
            await self._match("AddMatch", sender)
        except RdvError:
            self._watched.discard(sender)
            raise
        if not await buses.owner(self._bus, sender):
            self._lost(sender)
            raise NotRunning(f"{sender} has gone")

    async def _match(self, verb: str, sender: str) -> None:
        rule = f"type='signal',sender='{_DBUS}',member='NameOwnerChanged',arg0='{sender}'"
        await buses.call(self._bus, _DBUS, "/org/freedesktop/DBus", _DBUS, verb, "s", rule)

    def _lost(self, sender: str) -> None:
        if sender in self._watched:
            self._watched.discard(sender)
            self._keep(self._match("RemoveMatch", sender))
            self._gone(sender)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _receive(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            _close(message)
            # Only the bus itself speaks under this name; others may send signals that look like it.
            if message.sender == _DBUS and message.member == "NameOwnerChanged" and not message.body[2]:
                self._lost(message.body[0])
            return None
        if message.path != self._path or message.sender is None:
            _close(message)
            return None
        if message.interface == f"{_DBUS}.Introspectable" and message.member == "Introspect":
            _close(message)
            return Message.new_method_return(message, "s", [introspection()])
        method, handler = self._handlers.get((message.interface or "", message.member or ""), (None, None))
        if method is None or handler is None:
            _close(message)
            return None  # dbus-fast answers UnknownMethod
        if message.signature != method.takes:
            _close(message)
            return Message.new_error(message, _INVALID, f"{method.member} takes {method.takes or 'nothing'}")
        self._keep(self._serve(message, method, handler))
        return True

    async def _serve(self, message: Message, method: Method, handler: Handler) -> None:
        try:
            values = await handler(Call(message.sender or "", message.body, message.unix_fds))
            reply = Message.new_method_return(message, method.gives, list(values))
        except RdvError as error:
            reply = Message.new_error(message, error.dbus_name, str(error))
        except Exception:
            log.exception("%s", method.member)
            unknown = RdvError("internal error of the manager", "its journal has more")
            reply = Message.new_error(message, unknown.dbus_name, str(unknown))
        finally:
            _close(message)
        if not message.flags & MessageFlag.NO_REPLY_EXPECTED and self._bus.connected:
            self._bus.send(reply)


def _close(message: Message) -> None:
    fds, message.unix_fds = message.unix_fds, []
    for fd in fds:
        with suppress(OSError):
            os.close(fd)
