"""A bus connection that no text and no full socket can break.

Debian bookworm's dbus-fast (1.84.2) counts a string's characters where D-Bus
wants its bytes (mended in 2.11.1, its pull request 261). One accent in a device's
location would make the message malformed, and the bus ends a connection that
sends such a message; so would a NUL. All that leaves here passes `_sendable`.

It also gives a connection up when the socket takes no more at that moment, as
while a list of thousands of devices is on its way, and sends what had to wait in
the wrong order. All that leaves here is sent by `_Writer`.
"""

from __future__ import annotations

import array
import asyncio
import socket
from typing import Any

from dbus_fast import Message, Variant
from dbus_fast.aio.message_bus import MessageBus, _MessageWriter

_REPLACEMENT = "\ufffd"


class Connection(MessageBus):
    """dbus-fast's MessageBus, except that strings and messages go out whole and in order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._writer = _Writer(self)
        self._disconnect_future.add_done_callback(_look_at)

    def send(self, msg: Message) -> asyncio.Future[Any]:  # type: ignore[override]
        """Send a message; what came of it is told by the future, and may be left unasked."""
        msg.body = [_sendable(value) for value in msg.body]
        future: asyncio.Future[Any] = super().send(msg)
        future.add_done_callback(_look_at)
        return future


class _Writer(_MessageWriter):
    """Sends messages in their order, as the socket takes them."""

    buf: memoryview | None  # type: ignore[assignment]  # dbus-fast has it as None alone

    def schedule_write(self, msg: Message | None = None, future: asyncio.Future[Any] | None = None) -> None:
        """Send a message, and what has waited for the connection to be made."""
        if msg is not None:
            self.buffer_message(msg, future)
        if self.bus.unique_name:
            self.write_callback()
            if self.buf is not None or self.messages:
                self.loop.add_writer(self.fd, self.write_callback)

    def write_callback(self, remove_writer: bool = True) -> None:  # noqa: ARG002  # dbus-fast's own form
        """Send what the socket takes now."""
        try:
            while self.buf is not None or self.messages:
                self._send_some()
        except (BlockingIOError, InterruptedError):
            return  # called again when it takes more
        except Exception as error:
            if self.fut is not None and not self.fut.done():
                self.fut.set_exception(error)
            self.bus._finalize(error)
        else:
            self.loop.remove_writer(self.fd)

    def _send_some(self) -> None:
        if self.buf is None:
            data, self.unix_fds, self.fut = self.messages.popleft()
            self.buf, self.offset = memoryview(data), 0
        rest = self.buf[self.offset :]
        if self.unix_fds and self.negotiate_unix_fd:
            rights = array.array("i", self.unix_fds)
            self.offset += self.sock.sendmsg([rest], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            self.unix_fds = None
        else:
            self.offset += self.sock.send(rest)
        if self.offset >= len(self.buf):
            self.buf = None
            if self.fut is not None and not self.fut.done():
                self.fut.set_result(None)


def _look_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # or the loop complains that nobody did


class _Text(str):
    """A string whose length is that of its UTF-8 form, as dbus-fast takes it to be."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.encode())


def _sendable(value: Any) -> Any:
    """`value` with each string in it such that it is marshalled right: length, NUL, lone surrogates."""
    if isinstance(value, str):
        if value.isascii() and "\0" not in value:
            return value
        text = value.replace("\0", _REPLACEMENT)
        return _Text(text.encode("utf-8", "replace").decode())
    if isinstance(value, Variant):
        return Variant(value.signature, _sendable(value.value))
    if isinstance(value, dict):
        return {_sendable(key): _sendable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sendable(item) for item in value]
    return value
