"""What other pages, other hosts and rude clients can make of the page's server: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.bus.page import SETTINGS, UPLINK, Server, Visitor, serving, visiting
from tundev import contract
from tundev.web import listener, stream
from tundev.web.app import HEADERS
from tundev.web.listener import CONNECTIONS
from tundev.web.pin import PinHash
from tundev.web.places import Kind
from tundev.web.throttle import FREE
from vtunlib.errors import SessionFailed

pytestmark = pytest.mark.usefixtures("system_bus")

WISH = {"onsite": "rpi1100"}
WITH_PIN = replace(SETTINGS, pin=PinHash.of("4711"))


def attack(told: Callable[[Server, Visitor], Awaitable[None]], **options: Any) -> None:
    """Run it against the server; in the end the agent was asked to do nothing, and a visitor is served."""

    async def run() -> None:
        async with serving(**options) as server:
            async with visiting(server) as visitor:
                await told(server, visitor)
            assert [member for member, _ in server.agent.asked if member not in _HARMLESS] == []
            async with visiting(server) as visitor, visitor.http.get(visitor.url) as answer:
                assert answer.status == 200

    asyncio.run(run())


_HARMLESS = (contract.STATUS, contract.LIST_ONSITES)


async def raw(url: str, sent: bytes) -> bytes:
    """What a client gets that sends just this, until the server hangs up."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(10):
            writer.write(sent)
            await writer.drain()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"X-CSRF": None}, 403),
        ({"X-CSRF": ""}, 403),
        ({"X-CSRF": "0" * 64}, 403),
        ({"Cookie": "tundev=AAAA.BBBB"}, 403),
        ({"Cookie": ""}, 403),
    ],
    ids=str,
)
def test_what_is_not_the_page_s_own_changes_nothing(headers: dict[str, str | None], status: int) -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        if "Cookie" in headers:
            visitor.http.cookie_jar.clear()
        for what, body in (("connect", WISH), ("disconnect", {}), ("login", {"pin": "4711"})):
            got, refused = await visitor.post(what, body, headers=headers)
            assert (got, set(refused["error"])) == (status, {"name", "text", "hint"})

    attack(told)


def test_a_token_is_no_use_with_another_cookie() -> None:
    async def told(server: Server, visitor: Visitor) -> None:
        async with visiting(server) as other:
            other.csrf = visitor.csrf
            assert (await other.post("connect", WISH))[0] == 403

    attack(told)


def test_a_name_that_was_made_to_lead_here_reads_nothing() -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        for path in ("/", "/static/app.js", "/api/session", "/api/state", "/api/events"):
            async with visitor.http.get(f"{visitor.url}{path}", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 421
                assert "Set-Cookie" not in answer.headers

    attack(told)


def test_another_page_reads_nothing_and_holds_no_stream() -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        for path in ("session", "state", "events"):
            origin = {"Origin": "http://evil.example"}
            async with visitor.http.get(f"{visitor.url}/api/{path}", headers=origin) as answer:
                assert answer.status == 403
                assert not [name for name in answer.headers if name.startswith("Access-Control")]
            asked = {**origin, "Access-Control-Request-Method": "POST"}
            async with visitor.http.options(f"{visitor.url}/api/{path}", headers=asked) as answer:
                assert answer.status in (403, 405)
                assert not [name for name in answer.headers if name.startswith("Access-Control")]

    attack(told)


def test_every_answer_tells_the_browser_what_the_page_may_not() -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        for path in ("/", "/static/app.js", "/api/session", "/api/state", "/api/nothing", "/static/../key"):
            async with visitor.http.get(f"{visitor.url}{path}") as answer:
                told = dict(answer.headers)
                for name in (
                    "Content-Security-Policy",
                    "X-Content-Type-Options",
                    "Referrer-Policy",
                    "Server",
                ):
                    assert told[name] == HEADERS[name]
                assert told["Cache-Control"] == (
                    "no-store" if "/api/" in path or "key" in path else "no-cache"
                )
                assert "unsafe" not in told["Content-Security-Policy"]

    attack(told)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        visitor.http.cookie_jar.clear()
        async with visitor.http.get(f"{visitor.url}/api/session") as answer:
            cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("tundev=")
        assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}

    attack(told)


@pytest.mark.parametrize(
    "path",
    ["/static/../../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/static//etc/passwd", "/etc/passwd"],
)
def test_only_the_page_s_files_are_served(path: str) -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        host = visitor.url.removeprefix("http://")
        got = await raw(
            visitor.url, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        assert got.startswith(b"HTTP/1.1 404")
        assert b"root:" not in got

    attack(told)


def test_who_has_not_our_cookie_holds_no_stream() -> None:
    """As an <img> of another page asks: it names no origin, and cookies of SameSite=Strict stay behind."""

    async def told(server: Server, visitor: Visitor) -> None:
        for cookie in ("", "tundev=AAAA.BBBB"):
            visitor.http.cookie_jar.clear()
            headers = {"Cookie": cookie}
            async with visitor.http.get(f"{visitor.url}/api/events", headers=headers) as answer:
                assert answer.status == 403
            assert server.readers() == 0

    attack(told)


@pytest.mark.parametrize("name", ["Cookie", "X-CSRF"])
def test_a_header_that_is_no_text_is_refused_and_leaves_no_trace(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        (cookie,) = visitor.http.cookie_jar
        headers = {
            "Host": visitor.url.removeprefix("http://").encode(),
            "Content-Type": b"application/json",
            "Content-Length": b"2",
            "Connection": b"close",
            "Cookie": f"tundev={cookie.value}".encode(),
            "X-CSRF": visitor.csrf.encode(),
            name: b'tundev="\xff.\xff"',
        }
        head = b"".join(b"%s: %s\r\n" % (key.encode(), value) for key, value in headers.items())
        got = await raw(visitor.url, b"POST /api/connect HTTP/1.1\r\n" + head + b"\r\n{}")
        assert got.startswith(b"HTTP/1.1 403")

    attack(told)
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


# the PIN


def test_before_the_pin_nothing_is_shown_or_done() -> None:
    async def told(server: Server, visitor: Visitor) -> None:
        session = await visitor.enter()
        assert (session["pin_needed"], session["signed_in"]) == (True, False)
        for path in ("state", "events"):
            async with visitor.http.get(f"{visitor.url}/api/{path}") as answer:
                assert answer.status == 401
                assert "rpi1100" not in await answer.text()
        for what, body in (("connect", WISH), ("disconnect", {})):
            assert (await visitor.post(what, body))[0] == 401
        assert (await visitor.login("0000"))[0] == 403
        assert (await visitor.login("4711"))[0] == 200
        assert (await visitor.enter())["signed_in"] is True
        await visitor.state()
        async with visiting(server) as other:
            assert (await other.enter())["signed_in"] is False

    attack(told, settings=WITH_PIN)


def test_a_cookie_planted_before_the_login_is_worth_nothing_after_it() -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        planted = {cookie.key: cookie.value for cookie in visitor.http.cookie_jar}
        assert (await visitor.login("4711"))[0] == 200
        visitor.http.cookie_jar.clear()
        headers = {"Cookie": f"tundev={planted['tundev']}"}
        async with visitor.http.get(f"{visitor.url}/api/state", headers=headers) as answer:
            assert answer.status == 401

    attack(told, settings=WITH_PIN)


def test_a_window_of_before_another_login_looks_no_longer() -> None:
    async def told(server: Server, visitor: Visitor) -> None:
        assert (await visitor.login("4711"))[0] == 200
        async with visitor.events() as events:
            await events.next()
            assert (await visitor.login("4711"))[0] == 200
            server.agent.tell(rtt_ms=1.0)
            with pytest.raises(EOFError):
                while True:
                    assert "rtt_ms" not in (await events.next())[1]["agent"]

    attack(told, settings=WITH_PIN)


def test_guessing_is_slowed_for_all_together_also_all_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def told(server: Server, visitor: Visitor) -> None:
        async with visiting(server) as other:
            guesses = [who.login(f"{number:04}") for number in range(10) for who in (visitor, other)]
            answers = [status for status, _ in await asyncio.gather(*guesses)]
            assert sorted(answers) == [403] * FREE + [429] * (20 - FREE)
            # The right one has to wait as well, or it would be known from the wrong ones.
            status, refused = await visitor.login("4711")
            assert status == 429
            assert "try again in" in refused["error"]["hint"]
            assert (await visitor.enter())["signed_in"] is False

    with caplog.at_level("WARNING"):
        attack(told, settings=WITH_PIN)
    told_of = [record.getMessage() for record in caplog.records]
    assert told_of.count("a wrong PIN from 127.0.0.1") == FREE
    assert "4711" not in caplog.text and "0001" not in caplog.text


def test_who_guesses_on_the_lan_keeps_nobody_at_the_port_out() -> None:
    async def told(server: Server, visitor: Visitor) -> None:
        server.agent.tell(UPLINK)
        async with visiting(server, Kind.UPLINK) as guesser:
            answers = [(await guesser.login(f"{number:04}"))[0] for number in range(FREE + 1)]
            assert answers == [403] * FREE + [429]
            assert (await visitor.login("4711"))[0] == 200

    attack(told, settings=replace(WITH_PIN, uplink=True))


# rude clients


def test_a_body_of_a_mebibyte_is_refused_and_not_kept() -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            status, refused = await visitor.post("connect", data=b" " * 2**20)
            assert (status, refused["error"]["name"]) == (413, "UsageError")
        assert (await visitor.post("connect", data=b"{" + b" " * 3000 + b"}"))[0] == 400

    attack(told)


def test_a_body_that_grows_when_it_is_unpacked_is_not_unpacked() -> None:
    packing = zlib.compressobj(9, wbits=31)
    packed = b"".join(packing.compress(bytes(2**20)) for _ in range(256)) + packing.flush()

    async def told(_: Server, visitor: Visitor) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(ConnectionError, OSError):
            status, refused = await visitor.post("connect", data=packed, headers={"Content-Encoding": "gzip"})
            assert (status, refused["error"]["name"]) == (413, "UsageError")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB

    attack(told)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        # A newer aiohttp takes these, and would wait for the next request.
        b"GET / HTTP/1.1\r\nConnection: close\r\n"
        + b"".join(b"X-%d: y\r\n" % number for number in range(2000))
        + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"h" * 20_000 + b"\r\n\r\n",
        b"POST /api/login HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/login HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\r\n\r\n\r\nHELO\r\n\r\n",
    ],
    ids=["tls", "line", "headers", "header", "length", "smuggling", "words"],
)
def test_what_is_no_request_is_refused_and_leaves_no_trace(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def told(_: Server, visitor: Visitor) -> None:
        assert (await raw(visitor.url, sent))[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 421", b"HTTP/1.0 400", b"")

    attack(told)
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_who_sends_its_request_drop_by_drop_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_SECONDS", 0.3)

    async def told(_: Server, visitor: Visitor) -> None:
        host, port = visitor.url.removeprefix("http://").split(":")
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
        for _reader, writer in slow:
            writer.write(b"GET / HTTP/1.1\r\nX: ")
        async with asyncio.timeout(10):
            assert [await reader.read() for reader, _writer in slow] == [b""] * 20
        for _reader, writer in slow:
            writer.close()
        async with visitor.http.get(visitor.url) as answer:
            assert answer.status == 200

    attack(told)


def test_who_asks_on_and_on_while_it_is_answered_is_hung_up_on() -> None:
    async def told(server: Server, visitor: Visitor) -> None:
        host, _, port = visitor.url.removeprefix("http://").partition(":")
        (cookie,) = visitor.http.cookie_jar
        asked = "GET {} HTTP/1.1\r\nHost: " + f"{host}:{port}\r\nCookie: tundev={cookie.value}\r\n\r\n"
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(asked.format("/api/events").encode())
        await server.until(lambda: server.readers() == 1)
        writer.write(asked.format("/").encode() * (listener.AHEAD + 1))
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        await server.until(lambda: server.readers() == 0)
        writer.close()
        (reader, writer) = await asyncio.open_connection(host, int(port))
        writer.write(asked.format("/").encode() * 2)  # one ahead is none too many
        for _ in range(2):
            assert b"200 OK" in await reader.readuntil(b"<!DOCTYPE html>")
        writer.close()

    attack(told)


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tundev.web.app.BODY_SECONDS", 0.3)

    async def told(_: Server, visitor: Visitor) -> None:
        (cookie,) = visitor.http.cookie_jar
        head = (
            f"POST /api/connect HTTP/1.1\r\nHost: {visitor.url.removeprefix('http://')}\r\n"
            f"Cookie: tundev={cookie.value}\r\nX-CSRF: {visitor.csrf}\r\n"
            'Content-Type: application/json\r\nContent-Length: 30\r\n\r\n{"onsite"'
        )
        assert (await raw(visitor.url, head.encode())).startswith(b"HTTP/1.1 408")

    attack(told)


def test_so_many_connections_are_taken_and_no_more() -> None:
    async def told(server: Server, visitor: Visitor) -> None:
        host, _, port = visitor.url.removeprefix("http://").partition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(CONNECTIONS + 20)]
        (place,) = server.listeners.open.values()
        await server.until(lambda: len(place.connections) == CONNECTIONS)
        assert await held[-1][0].read() == b""
        for _, writer in held:
            writer.close()
        await server.until(lambda: len(place.connections) < 3)

    attack(told)


def test_who_reads_nothing_is_dropped_and_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tundev.web.app.SLOW_SECONDS", 0.5)
    monkeypatch.setattr(stream, "PAUSE", 0.001)

    async def told(server: Server, visitor: Visitor) -> None:
        host, _, port = visitor.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        (cookie,) = visitor.http.cookie_jar
        head = f"Host: {host}:{port}\r\nCookie: tundev={cookie.value}\r\n"
        writer.write(f"GET /api/events HTTP/1.1\r\n{head}\r\n".encode())
        await server.until(lambda: server.readers() == 1)
        server.agent.rows = [{"id": f"rpi{number}", "location": "x" * 500} for number in range(1000)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with visitor.events() as events:
            server.agent.signal(contract.ONSITES_CHANGED)
            number = 0
            while server.readers() == 2:
                number += 1
                server.agent.tell(rx_bytes=number)
                await events.until("state", lambda state: state["agent"].get("rx_bytes") == number)  # noqa: B023
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
        writer.close()
        with contextlib.suppress(ConnectionError):
            await reader.read()

    attack(told)


def test_what_an_onsite_calls_itself_arrives_as_text_and_nothing_else() -> None:
    label = '</script><img src=x onerror="alert(1)">\u202e\n\nevent: failed\ndata: {}\n\n'

    async def told(server: Server, visitor: Visitor) -> None:
        server.agent.rows = [{"id": "rpi1100", "label": label}]
        server.agent.signal(contract.ONSITES_CHANGED)
        async with visitor.events() as events:
            state = await events.until("state", lambda state: state["onsites"] == server.agent.rows)
            assert state["onsites"][0]["label"] == label

    attack(told)


def test_an_error_of_another_shows_no_inside_of_ours() -> None:
    async def run() -> None:
        async with serving() as server, visiting(server) as visitor:
            server.agent.outcome = SessionFailed("a\x1b[2J<b>\n*** trap")
            _, refused = await visitor.post("connect", WISH)
            assert json.dumps(refused["error"]["text"]) == '"a?[2J<b>?*** trap"'

    asyncio.run(run())
