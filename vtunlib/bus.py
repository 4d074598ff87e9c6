"""What both sides need of D-Bus beyond dbus-fast: typed errors, deadlines, who calls.

A method marked `@answers()` may raise an RdvError: it crosses the bus under its
name. `call` raises it again at the other side.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

from dbus_fast import BusType, DBusError, Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.errors import AuthError
from dbus_fast.service import method

from vtunlib.bus_connection import Connection
from vtunlib.errors import DBUS_PREFIX, AlreadyExists, NotAllowed, NotRunning, RdvError, Timeout, from_dbus

log = logging.getLogger(__name__)

CALL_SECONDS = 25.0
"""How long a call waits for its answer, as D-Bus libraries do by default."""

_DBUS = "org.freedesktop.DBus"
_DBUS_PATH = "/org/freedesktop/DBus"
_NOBODY_THERE = frozenset(f"{_DBUS}.Error.{name}" for name in ("ServiceUnknown", "NameHasNoOwner"))

_sender: ContextVar[str] = ContextVar("sender")


async def connect(*, negotiate_unix_fd: bool = False) -> MessageBus:
    """A connection to the system bus, at DBUS_SYSTEM_BUS_ADDRESS where that is set.

    negotiate_unix_fd: whether descriptors may cross it. Raises RdvError.
    """
    try:
        bus = Connection(bus_type=BusType.SYSTEM, negotiate_unix_fd=negotiate_unix_fd)
        async with asyncio.timeout(CALL_SECONDS):
            await bus.connect()
    except (OSError, EOFError, AuthError, TimeoutError) as error:
        raise RdvError(f"cannot connect to the system bus: {error}", "is dbus.service running?") from None
    bus.add_message_handler(_receive)
    return bus


async def own(bus: MessageBus, name: str) -> None:
    """Own `name` on the bus. Raises AlreadyExists where another does, NotAllowed by the bus's policy."""
    do_not_queue, primary_owner = 4, 1  # D-Bus specification, RequestName
    reply = await call(bus, _DBUS, _DBUS_PATH, _DBUS, "RequestName", "su", name, do_not_queue)
    if reply != primary_owner:
        raise AlreadyExists(f"another process owns {name} on the system bus")


def _receive(message: Message) -> None:
    if message.message_type is MessageType.METHOD_CALL:
        # The task that serves the call starts in a copy of this context.
        _sender.set(message.sender or "")
    elif message.message_type is MessageType.SIGNAL:
        # Any peer can send us one, with descriptors in it; no signal of ours has any.
        _close(message)


def _close(message: Message) -> None:
    for fd in message.unix_fds:
        os.close(fd)
    message.unix_fds = []


def sender() -> str:
    """The unique bus name of who called the method that runs now (buses made by `connect`)."""
    return _sender.get()


async def sender_uid(bus: MessageBus, name: str | None = None) -> int:
    """The uid, as the bus knows it, behind `name`; by default behind `sender()`. Raises RdvError."""
    arguments = (name or sender(),)
    uid = await call(bus, _DBUS, _DBUS_PATH, _DBUS, "GetConnectionUnixUser", "s", *arguments)
    return int(uid)


def answers(name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a D-Bus method as dbus_fast.service.method does; its RdvErrors cross the bus.

    What else it raises is logged with its traceback and crosses as a plain
    `org.rdv.Error.RdvError` without it.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waiting(*args: Any) -> Any:
                try:
                    return await function(*args)
                except Exception as error:
                    raise _crossing(error, function) from None

            return _marked(waiting)

        @functools.wraps(function)
        def direct(*args: Any) -> Any:
            try:
                return function(*args)
            except Exception as error:
                raise _crossing(error, function) from None

        return _marked(direct)

    def _marked(wrapper: Callable[..., Any]) -> Callable[..., Any]:
        marked: Callable[..., Any] = method(name or wrapper.__name__)(wrapper)
        return marked

    return decorate


def annotated(gives: str, **takes: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a method the D-Bus types that dbus-fast reads from annotations, which no type checker takes."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__annotations__ = {**takes, **({"return": gives} if gives else {})}
        return function

    return decorate


def _crossing(error: Exception, function: Callable[..., Any]) -> DBusError:
    if isinstance(error, DBusError):
        return error
    if isinstance(error, RdvError):
        return DBusError(error.dbus_name, str(error))
    log.error("%s failed", function.__qualname__, exc_info=error)
    return DBusError(f"{DBUS_PREFIX}RdvError", "internal error; the journal has more")


async def call(
    bus: MessageBus,
    destination: str,
    path: str,
    interface: str,
    member: str,
    signature: str = "",
    *arguments: Any,
    unix_fds: list[int] | None = None,
    deadline: float = CALL_SECONDS,
) -> Any:
    """Call a method and return what it returns: None, the one value, or a list of several.

    Arguments in the form of `signature`; a descriptor (`h`) is its index in
    unix_fds; one in the answer is closed. deadline: seconds. Raises the RdvError that the other side raised,
    NotRunning without an owner of the name, NotAllowed where the bus's policy
    refuses, Timeout.
    """
    if not bus.connected:
        raise NotRunning("the connection to the bus is closed")
    message = Message(
        destination=destination,
        path=path,
        interface=interface,
        member=member,
        signature=signature,
        body=list(arguments),
        unix_fds=unix_fds or [],
    )
    try:
        async with asyncio.timeout(deadline):
            reply = await bus.call(message)
    except TimeoutError:
        raise Timeout(f"{destination} did not answer {member} within {deadline:g} s") from None
    except (OSError, EOFError) as error:
        raise NotRunning(f"the connection to the bus broke: {error}") from None
    if reply is None:
        raise NotRunning("the connection to the bus broke")
    _close(reply)
    if reply.message_type is MessageType.ERROR:
        raise _error(reply, destination)
    if len(reply.body) > 1:
        return reply.body
    return reply.body[0] if reply.body else None


def _error(reply: Message, destination: str) -> RdvError:
    text = str(reply.body[0]) if reply.body else ""
    name = str(reply.error_name or "")
    if name in _NOBODY_THERE:
        return NotRunning(f"nobody answers as {destination} on the system bus", "is its service running?")
    if name == f"{_DBUS}.Error.NoReply":
        return NotRunning(f"{destination} went away before it answered")
    if name == f"{_DBUS}.Error.AccessDenied":
        return NotAllowed(f"the system bus refused: {text}")
    return from_dbus(name, text)


Stop = Callable[[], Awaitable[None]]
"""Awaited, it ends what was begun."""


async def on_signal(
    bus: MessageBus, sender: str, path: str | None, interface: str, member: str, handler: Callable[..., None]
) -> Stop:
    """Call `handler` with the arguments of each such signal, until what is returned is awaited.

    path None: of any of its objects, whose path is then the first argument. sender: a well-known or
    unique name. Only what its owner sends counts: any peer of the system bus can send a signal of any
    name straight to us.
    """
    names = {sender}
    stops: list[Stop] = []
    if not sender.startswith(":") and sender != _DBUS:

        def owned(new: str) -> None:
            names.clear()
            names.add(new)

        stops.append(await on_owner(bus, sender, owned))
        owned(await owner(bus, sender))

    def receive(message: Message) -> None:
        if (
            message.message_type is MessageType.SIGNAL
            and message.sender in names
            and (message.interface, message.member) == (interface, member)
            and path in (None, message.path)
        ):
            handler(*([message.path] if path is None else []), *message.body)

    rule = f"type='signal',sender='{sender}',interface='{interface}',member='{member}'"
    rule += f",path='{path}'" if path is not None else ""
    bus.add_message_handler(receive)
    await call(bus, _DBUS, _DBUS_PATH, _DBUS, "AddMatch", "s", rule)

    async def stop() -> None:
        bus.remove_message_handler(receive)
        for stop_owner in stops:
            await stop_owner()
        if bus.connected:
            await call(bus, _DBUS, _DBUS_PATH, _DBUS, "RemoveMatch", "s", rule)

    return stop


async def on_owner(bus: MessageBus, name: str, handler: Callable[[str], None]) -> Stop:
    """Call `handler` with the new owner of `name`, empty for none, at each change, until stopped.

    `owner` tells how it is now; ask after this, and no change is missed.
    """

    def changed(changed_name: str, _old: str, new: str) -> None:
        if changed_name == name:
            handler(new)

    return await on_signal(bus, _DBUS, _DBUS_PATH, _DBUS, "NameOwnerChanged", changed)


async def owner(bus: MessageBus, name: str) -> str:
    """The unique name of who owns `name` now, empty for nobody."""
    try:
        return str(await call(bus, _DBUS, _DBUS_PATH, _DBUS, "GetNameOwner", "s", name))
    except NotRunning:
        return ""


def plain(value: Any) -> Any:
    """`value` with every Variant in it replaced by what it holds."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def variants(values: Mapping[str, Any]) -> dict[str, Variant]:
    """`values` as a{sv}: bool, int (as x), float, str, lists of str, and mappings of these.

    None is left out; D-Bus has no null. Raises TypeError on anything else.
    """
    return {key: _variant(value) for key, value in values.items() if value is not None}


def _variant(value: Any) -> Variant:
    if isinstance(value, bool):
        return Variant("b", value)
    if isinstance(value, int):
        return Variant("x", value)
    if isinstance(value, float):
        return Variant("d", value)
    if isinstance(value, str):
        return Variant("s", str(value))
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return Variant("as", [str(item) for item in value])
    if isinstance(value, Mapping):
        return Variant("a{sv}", variants(value))
    raise TypeError(f"{type(value).__name__} has no place in a{{sv}}")
