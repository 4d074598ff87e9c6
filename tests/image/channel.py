"""JSON values, one a line, over a Unix socket: what QEMU's monitor and its guest agent both speak."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from tests.lab.process import LabError

Message = dict[str, Any]


class Port:
    """A socket that QEMU connects to when it starts, so that nobody has to ask whether it is there yet."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        self._socket.listen(1)

    def accept(self, deadline: float) -> Channel:
        """The connection; `deadline` in seconds."""
        self._socket.settimeout(deadline)
        try:
            connection, _ = self._socket.accept()
        except TimeoutError:
            raise LabError(f"{self._name} did not connect within {deadline:g} s") from None
        return Channel(connection, self._name)

    def close(self) -> None:
        """No connection is taken any more."""
        self._socket.close()


class Channel:
    """One connection. `name` is what an error calls the other end."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self.name = name
        self._socket = connection
        self._unread = b""

    def send(self, message: Message, *, before: bytes = b"") -> None:
        """`before`: bytes that the other end takes for no message."""
        try:
            self._socket.sendall(before + json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise LabError(f"{self.name} takes no commands any more: {error}") from None

    def receive(self, deadline: float) -> Message:
        """The next message; `deadline` in seconds. LabError where none comes, or the other end is gone."""
        until = time.monotonic() + deadline
        while b"\n" not in self._unread:
            left = until - time.monotonic()
            if left <= 0:
                raise LabError(f"{self.name} did not answer within {deadline:g} s")
            self._socket.settimeout(left)
            try:
                read = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                read = b""
            if not read:
                raise LabError(f"{self.name} has closed the connection")
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Done with it."""
        self._socket.close()
