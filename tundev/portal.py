"""Whether a captive portal is why no way leads to the RDV server: it is asked of the network itself.

A portal answers plain HTTP in everybody's stead, so the request goes to the RDV
server's own name, for a page that no server has. No third party is asked, nothing
is sent but the request, no redirection is followed, and what comes back is used for
nothing but the verdict and a line of text.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from vtunlib.errors import CaptivePortal, RdvError, printable
from vtunlib.threads import left_behind

SECONDS = 4.0
"""For all of it: the next attempt to connect waits for this."""
ANSWER_LIMIT = 16384
"""Bytes of an answer until its empty line."""
URL_LIMIT = 200
HTTP_PORT = 80

_SIGN_IN_NEEDED = 511
"""Network Authentication Required, RFC 6585, 6."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_LOCATION = re.compile(rb"^location:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


async def explained(error: RdvError, host: str, port: int = HTTP_PORT) -> RdvError:
    """`error`, or CaptivePortal where one answers instead of `host`, the RDV server."""
    answer = await _ask(host, port)
    portal = judge(answer, host) if answer else None
    if portal is None:
        return error
    return CaptivePortal(
        f"the network lets nothing through to {host} before somebody signs in at {portal}",
        "have the network's administrator let this device through without that",
    )


def judge(answer: bytes, host: str) -> str | None:
    """Where to sign in, by what came as the answer of `host` for a page that it does not have.

    None where it may be the server's own: a page that is not there, or a way to another of its own.
    """
    status = _STATUS.match(answer)
    if status is None:
        return None
    code = int(status[1])
    header = answer.partition(b"\r\n\r\n")[0]
    found = _LOCATION.search(header)
    location = printable(found[1].decode(errors="replace"), URL_LIMIT) if found else ""
    if 300 <= code < 400:
        return location if _host_of(location) not in ("", host.lower()) else None
    return (location or f"http://{host}/") if code in (200, _SIGN_IN_NEEDED) else None


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


async def _ask(host: str, port: int) -> bytes:
    """What is answered, up to its empty line; nothing where nobody answers in time."""
    # Not found on any server: only who answers for all pages alike answers otherwise.
    page = f"/{secrets.token_hex(8)}"
    named = f"[{host}]" if ":" in host else host
    request = f"GET {page} HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\r\n"
    answer = b""
    with suppress(OSError):  # and TimeoutError, which is one
        async with asyncio.timeout(SECONDS):
            # Where no DNS server answers, the resolver goes on for long after that.
            found = await left_behind(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            reader, writer = await asyncio.open_connection(str(found[0][4][0]), port)
            try:
                writer.write(request.encode())
                while b"\r\n\r\n" not in answer and len(answer) < ANSWER_LIMIT:
                    data = await reader.read(ANSWER_LIMIT - len(answer))
                    if not data:
                        break
                    answer += data
            finally:
                writer.close()
    return answer
