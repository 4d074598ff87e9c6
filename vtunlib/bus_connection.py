"""A bus connection that no text can break.

Debian bookworm's dbus-fast (1.84.2) counts a string's characters where D-Bus
wants its bytes (mended in 2.11.1, its pull request 261). One accent in a device's
location would make the message malformed, and the bus ends a connection that
sends such a message; so would a NUL. All that leaves here passes `_sendable`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from dbus_fast import Message, Variant
from dbus_fast.aio.message_bus import MessageBus

_REPLACEMENT = "\ufffd"


class Connection(MessageBus):
    """dbus-fast's MessageBus, except that strings go out whole."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._disconnect_future.add_done_callback(_look_at)

    def send(self, msg: Message) -> asyncio.Future[Any]:  # type: ignore[override]
        """Send a message; what came of it is told by the future, and may be left unasked."""
        msg.body = [_sendable(value) for value in msg.body]
        future: asyncio.Future[Any] = super().send(msg)
        future.add_done_callback(_look_at)
        return future


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
