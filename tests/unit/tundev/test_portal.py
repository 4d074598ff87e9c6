"""Whose answer it is where no way leads to the RDV server: its own, or a captive portal's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tundev import portal
from tundev.portal import explained, judge
from vtunlib.errors import CaptivePortal, RdvError, RdvUnreachable

RDV = "rdv.example.com"
LOST = RdvUnreachable("nobody there")
SIGN_IN = "http://portal.hotel.example/login?to=x"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(status: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", body]).encode()


@pytest.mark.parametrize(
    ("answer", "where"),
    [
        (http("511 Network Authentication Required"), f"http://{RDV}/"),
        (http("302 Found", f"Location: {SIGN_IN}"), SIGN_IN),
        (http("307 Temporary Redirect", "Server: x", f"location:{SIGN_IN} "), SIGN_IN),
        (http("200 OK", body="<h1>Welcome</h1>"), f"http://{RDV}/"),
        (http("302 Found", "Location: http://192.168.1.1/\x1b[2J"), "http://192.168.1.1/?[2J"),
    ],
)
def test_a_portal_is_known_by_what_no_server_says_of_a_page_it_does_not_have(
    answer: bytes, where: str
) -> None:
    assert judge(answer, RDV) == where


@pytest.mark.parametrize(
    "answer",
    [
        http("404 Not Found", body="<h1>nothing here</h1>"),
        http("301 Moved Permanently", f"Location: https://{RDV.upper()}/"),
        http("301 Moved Permanently", "Location: /elsewhere"),
        http("302 Found"),
        http("302 Found", "Location: http://[::1/"),
        http("403 Forbidden"),
        http("502 Bad Gateway"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200",
    ],
)
def test_what_a_server_may_say_itself_is_no_portal(answer: bytes) -> None:
    assert judge(answer, RDV) is None


def test_a_long_address_is_cut() -> None:
    told = judge(http("302 Found", f"Location: http://portal.example/{'x' * 5000}"), RDV)
    assert told is not None and len(told) == portal.URL_LIMIT


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """A small HTTP server, as a portal's router has; its port."""
    connections: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
            writer.close()
        except OSError:
            pass  # whoever asked has heard enough

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in connections:
            writer.transport.abort()
        server.close()


def asked(answer: Answer) -> RdvError:
    async def ask() -> RdvError:
        async with serving(answer) as port:
            async with asyncio.timeout(30):
                return await explained(LOST, "127.0.0.1", port)

    return asyncio.run(ask())


def test_a_portal_explains_why_nothing_is_reached() -> None:
    async def portal_of_a_hotel(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http("302 Found", f"Location: {SIGN_IN}"))
        await writer.drain()

    error = asked(portal_of_a_hotel)
    assert isinstance(error, CaptivePortal)
    assert SIGN_IN in error.message


def test_nobody_there_leaves_the_failure_as_it_was() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert asyncio.run(explained(LOST, "127.0.0.1", port)) is LOST
    assert asyncio.run(explained(LOST, "no-such-name.invalid", port)) is LOST


def test_an_answer_without_end_is_cut_off() -> None:
    async def pouring(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 4096)
            await writer.drain()

    assert asked(pouring) is LOST


def test_an_answer_that_never_ends_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal, "SECONDS", 0.2)

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\n")
        await asyncio.Event().wait()

    assert asked(silent) is LOST
