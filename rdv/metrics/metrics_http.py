"""`GET /metrics` and nothing else: the least of HTTP/1.1 that a Prometheus server needs.

One request a connection, of a bounded size and within a deadline, so that whoever
can reach the socket costs the manager next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from vtunlib.errors import RdvError

HEAD_LIMIT = 8192
"""Bytes of a request's head."""
REQUEST_SECONDS = 5.0
"""How long a client may take to ask and to read the answer."""
CLIENTS = 8
"""At one time; whoever comes on top of these is hung up on."""

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_UNIX = "unix:"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})

log = logging.getLogger(__name__)

Text = Callable[[], Awaitable[bytes]]


@contextlib.asynccontextmanager
async def serving(listen: str, text: Text) -> AsyncIterator[None]:
    """Serve `text` at `listen` (rdv.settings.Metrics, not "off") meanwhile. Raises RdvError."""
    responder = _Responder(text)
    path = Path(listen.removeprefix(_UNIX)) if listen.startswith(_UNIX) else None
    try:
        if path is not None:
            server = await asyncio.start_unix_server(responder.serve, path, limit=HEAD_LIMIT)
            path.chmod(0o600)  # made under the service's umask, so at no time for others
        else:
            host, _, port = listen.rpartition(":")
            address = ipaddress.ip_address(host.strip("[]"))
            server = await asyncio.start_server(responder.serve, str(address), int(port), limit=HEAD_LIMIT)
    except OSError as error:
        raise RdvError(f"metrics cannot be served at {listen}: {error.strerror}") from None
    log.info("metrics are served at %s", listen)
    try:
        yield
    finally:
        server.close()
        if path is not None:
            path.unlink(missing_ok=True)


class _Responder:
    """Answers connections, a few at a time."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._clients = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        if self._clients >= CLIENTS:
            writer.close()
            return
        self._clients += 1
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                writer.write(await self._answer(reader))
                writer.write_eof()
                # Closing on what was not read would reset the connection, and with it the answer.
                while await reader.read(HEAD_LIMIT):
                    pass
        except (OSError, TimeoutError):
            pass  # it went, or it is too slow
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return answer(431)
        except asyncio.IncompleteReadError:
            return answer(400)
        status = status_of(head)
        return answer(status, await self._text() if status == 200 else b"")


def status_of(head: bytes) -> int:
    """What a request with this head is answered with."""
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    words = line.split(" ")
    if len(words) != 3 or not words[1] or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        return 400
    method, target, _ = words
    if method not in _METHODS:
        return 501 if method.isalpha() and method.isupper() else 400
    if target.partition("?")[0] != "/metrics":
        return 404
    return 200 if method == "GET" else 405


_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}


def answer(status: int, body: bytes = b"") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Length: {len(body)}", "Connection: close"]
    if status == 200:
        lines.append(f"Content-Type: {_TYPE}")
    if status == 405:
        lines.append("Allow: GET")
    return "\r\n".join([*lines, "", ""]).encode() + body
