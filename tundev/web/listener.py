"""One place's socket and its connections: a bounded number, each bounded in what it may send and when.

The socket is bound to the interface, for Linux takes a packet for any address of its on any
interface: a neighbour on the uplink's LAN would reach the technician's port by its address
otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tundev.web.places import Place
from vtunlib.errors import RdvError

CONNECTIONS = 64
"""At one time in one place; a browser makes six and one for each window."""
HEAD_SECONDS = 10.0
"""From the connection to the end of its first request's head. A later one has KEPT_SECONDS."""
KEPT_SECONDS = 30.0
"""How long a connection is kept for the next request."""
UNACKNOWLEDGED_MS = 30_000
"""TCP_USER_TIMEOUT: who takes nothing for so long is gone, as a laptop that was unplugged is."""
AHEAD = 8
"""Requests that may come before the former one is answered (RFC 9112, 9.3.2); browsers send none."""
BACKLOG = 32

log = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """A client's connection. What aiohttp does not bound in it is bounded here."""

    def __init__(self, listener: Listener, manager: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=KEPT_SECONDS,
            lingering_time=2.0,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own word for none
            max_line_size=2048,
            max_field_size=4096,
            max_headers=64,
            auto_decompress=False,  # 32 KiB of a body would be 32 MiB here
        )
        self.listener = listener
        self.when_lost: Callable[[], None] | None = None
        self._too_slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Taken in, or hung up on where there is no room."""
        super().connection_made(transport)
        if not self.listener.admit(self):
            self.force_close()
            return
        self._too_slow = asyncio.get_running_loop().call_later(HEAD_SECONDS, self.force_close)

    def data_received(self, data: bytes) -> None:
        """Taken in; who asks on and on while it is answered is hung up on, for aiohttp would keep it all."""
        super().data_received(data)
        if len(self._messages) > AHEAD:
            self._messages.clear()
            self.force_close()

    def asked(self) -> None:
        """Its first request has come, whole head."""
        if self._too_slow is not None:
            self._too_slow.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is gone; who waits for something to send is told."""
        self.asked()
        self.listener.connections.discard(self)
        super().connection_lost(exc)
        if self.when_lost is not None:
            self.when_lost()

    def log_exception(self, *words: Any, **more: Any) -> None:
        """What a client sends wrong is no matter for the journal; our own errors are logged by app."""
        log.debug(*words, **more)


class Listener:
    """The page in one place, from `open` to `close`."""

    def __init__(self, place: Place, manager: web.Server, port: int) -> None:
        """port: 0 for any that is free, as tests have it."""
        self.place = place
        self.port = port
        self.connections: set[Connection] = set()
        self._manager = manager
        self._server: asyncio.Server | None = None
        self._index = 0

    async def open(self) -> None:
        """Raises RdvError."""
        loop = asyncio.get_running_loop()
        try:
            self._index = socket.if_nametoindex(self.place.link)
            bound = _bound(self.place, self.port)
        except OSError as error:
            raise RdvError(f"the page cannot be at {self.place.url}: {error.strerror or error}") from None
        self.port = bound.getsockname()[1]
        self._server = await loop.create_server(
            lambda: Connection(self, self._manager, loop), sock=bound, backlog=BACKLOG
        )

    def is_for(self, place: Place) -> bool:
        """Whether it is that place still: an adapter that came again by the same name is another one."""
        try:
            return place == self.place and socket.if_nametoindex(place.link) == self._index
        except OSError:
            return False

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for it."""
        if len(self.connections) >= CONNECTIONS:
            return False
        self.connections.add(connection)
        return True

    async def close(self, patience: float) -> None:
        """Take nobody in any more; those that are there have so many seconds to take what was sent."""
        if self._server is not None:
            self._server.close()
        leaving = [connection.shutdown(patience) for connection in self.connections]
        await asyncio.gather(*leaving)


def _bound(place: Place, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.link.encode())
        # The address may be there a moment later than the word of it.
        bound.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        bound.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        bound.bind((str(place.address), port))
    except OSError:
        bound.close()
        raise
    return bound


_IP_FREEBIND = 15
_TCP_USER_TIMEOUT = 18
"""linux/in.h, linux/tcp.h."""
