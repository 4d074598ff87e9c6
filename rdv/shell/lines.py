"""Lines as a device sends them and is sent them: bounded, UTF-8, and refused whole where they are not.

Nothing is taken from the socket before somebody waits for it, and a wait that is
cancelled loses nothing: what has come and what has not been sent yet stay here.
So a connection can be stopped between any two bytes, and another process can go
on with it (rdv.shell.handover).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from vtunlib import words
from vtunlib.errors import UsageError


class Lines:
    """The lines of a connection. A partial line before its end is none."""

    def __init__(self, connection: socket.socket) -> None:
        """connection: a stream; it is closed by `close` and by nothing else."""
        connection.setblocking(False)
        self.connection = connection
        self.unread = bytearray()
        """What has come and was not taken."""
        self.overlong = False
        """The line whose end is awaited has lost its beginning: it was too long."""
        self.unsent = bytearray()
        """What is to be sent before all else."""
        self._ended = False

    async def arrived(self) -> None:
        """Wait until `take` has something. Raises ConnectionError."""
        loop = asyncio.get_running_loop()
        while b"\n" not in self.unread and not self._ended:
            if len(self.unread) >= words.LINE_LIMIT:
                self.unread.clear()
                self.overlong = True
            # Waited for even where there is something already: a flood must not keep the loop.
            await self._until(loop.add_reader, loop.remove_reader)
            try:
                data = self.connection.recv(words.LINE_LIMIT)
            except BlockingIOError:
                continue
            self.unread += data
            self._ended = not data

    def take(self) -> str:
        """The next line, which has arrived, without its end.

        Raises EOFError where the connection has ended, UsageError on a line
        that cannot be taken.
        """
        end = self.unread.find(b"\n")
        if end < 0:
            raise EOFError
        line = bytes(self.unread[:end])
        del self.unread[: end + 1]
        overlong, self.overlong = self.overlong or len(line) >= words.LINE_LIMIT, False
        if overlong:
            raise UsageError(f"the line is longer than {words.LINE_LIMIT} bytes")
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise UsageError("the line is not UTF-8") from None

    def put(self, text: str) -> None:
        """To be sent by `send`."""
        self.unsent += text.encode()

    async def send(self) -> None:
        """Send all that was put. Raises ConnectionError."""
        loop = asyncio.get_running_loop()
        while self.unsent:
            try:
                del self.unsent[: self.connection.send(self.unsent)]
            except BlockingIOError:
                await self._until(loop.add_writer, loop.remove_writer)

    def close(self) -> None:
        """Close the connection; what was not sent is lost."""
        self.connection.close()

    async def _until(self, watch: Callable[..., Any], forget: Callable[[int], bool]) -> None:
        """Until the socket is ready for what is watched."""
        ready = asyncio.get_running_loop().create_future()
        number = self.connection.fileno()
        watch(number, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            forget(number)
