"""Whether the RDV server is reached by one uplink: a look that goes no further than it has to.

As the agent would go, by SSH as far as the server's first line, by TLS as far as its
certificate; then the connection is closed. Some 2 kB by SSH, 6 kB by TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from tundev.config import Rdv
from tundev.transport import Route, Routes, all_failed, first_hop, tls_way, try_tls
from tundev.uplinks import bound, names
from vtunlib.errors import ProtocolError, RdvError, RdvUnreachable, Timeout
from vtunlib.threads import left_behind

SECONDS = 10.0
"""For all of it. What is slower than that carries no session either."""
SSH_SECONDS = 4.0
"""For its connection and for its first line each: there may be the way by TLS to be tried yet."""
BANNER_LIMIT = 255
"""Bytes, RFC 4253, 4.2."""


async def failure(rdv: Rdv, link: str, servers: Sequence[str]) -> str:
    """Why the server is not reached by the uplink `link`; empty where it is. servers: its DNS servers."""
    try:
        async with asyncio.timeout(SECONDS):
            await left_behind(look, rdv, link, servers)
    except TimeoutError:
        return "no answer"
    except RdvError as error:
        return error.message
    return ""


def look(rdv: Rdv, link: str, servers: Sequence[str]) -> None:
    """As `failure`, but it blocks, and raises RdvError."""
    failures: dict[Route, RdvError] = {}
    for route in Routes(rdv).all:
        try:
            _by(rdv, route, link, servers)
        except RdvError as error:
            failures[route] = error
        else:
            return
    raise all_failed(failures)


def _by(rdv: Rdv, route: Route, link: str, servers: Sequence[str]) -> None:
    """By the first address of the name that does, as the agent takes it. Raises the last one's RdvError."""
    hop = first_hop(rdv, route)
    *others, last = names.addresses(hop.host, servers, link)
    for address in others:
        with suppress(RdvError):
            _at(rdv, route, address, link)
            return
    _at(rdv, route, last, link)


def _at(rdv: Rdv, route: Route, address: str, link: str) -> None:
    hop = first_hop(rdv, route)
    if route is Route.SSH:
        _banner(address, hop.port, link, hop.text)
    else:
        try_tls(replace(tls_way(rdv, route, address), link=link))


def _banner(address: str, port: int, link: str, text: str) -> None:
    try:
        with bound.connection(address, port, SSH_SECONDS, link) as sock:
            line = sock.recv(BANNER_LIMIT)
    except TimeoutError:
        raise Timeout(f"{text} does not answer") from None
    except OSError as error:
        raise RdvUnreachable(f"{text}: {error.strerror or error}") from None
    if not line.startswith(b"SSH-2.0-"):
        raise ProtocolError(f"what answers on {text} is no SSH server")
