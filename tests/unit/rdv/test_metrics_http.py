"""One path, one method, within limits: what is answered to whatever comes over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rdv.metrics import metrics_http
from rdv.metrics.metrics_http import CLIENTS, HEAD_LIMIT, serving, status_of
from vtunlib.errors import RdvError

BODY = b"rdv_devices_online 2\n"
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def text() -> bytes:
    return BODY


def against(path: Path, use: Callable[[Connect], Awaitable[None]]) -> None:
    """Run `use` while the metrics are served at a Unix socket."""

    async def main() -> None:
        async with asyncio.timeout(20), serving(f"unix:{path}", text):
            await use(lambda: asyncio.open_unix_connection(path))

    asyncio.run(main())


async def asked(connect: Connect, request: bytes) -> bytes:
    """The whole answer; the client says no more afterwards."""
    reader, writer = await connect()
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_get_metrics_is_answered_with_the_text(tmp_path: Path, version: str) -> None:
    async def use(connect: Connect) -> None:
        request = f"GET /metrics HTTP/{version}\r\nHost: rdv\r\nAccept: */*\r\n\r\n"
        head, _, body = (await asked(connect, request.encode())).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"Content-Length: {len(BODY)}".encode() in head
        assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
        assert body == BODY

    against(tmp_path / "socket", use)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /metrics?name=x HTTP/1.1", 200),
        ("GET / HTTP/1.1", 404),
        ("GET /metrics/../etc/passwd HTTP/1.1", 404),
        ("GET http://rdv/metrics HTTP/1.1", 404),
        ("POST /metrics HTTP/1.1", 405),
        ("HEAD /metrics HTTP/1.1", 405),
        ("POST / HTTP/1.1", 404),
        ("BREW /metrics HTTP/1.1", 501),
        ("get /metrics HTTP/1.1", 400),
        ("GET /metrics", 400),
        ("GET /metrics HTTP/2", 400),
        ("GET  /metrics HTTP/1.1", 400),
        ("GET /metrics HTTP/1.1 x", 400),
        ("\x16\x03\x01\x02\x00\x01", 400),
        ("", 400),
    ],
)
def test_anything_else_is_refused_by_its_status(line: str, status: int) -> None:
    assert status_of(f"{line}\r\nHost: rdv\r\n\r\n".encode("latin-1")) == status


def test_a_head_that_is_too_long_or_not_whole_is_refused_and_the_next_is_served(tmp_path: Path) -> None:
    async def use(connect: Connect) -> None:
        long = b"GET /metrics HTTP/1.1\r\nX: " + b"x" * (4 * HEAD_LIMIT)
        assert (await asked(connect, long)).startswith(b"HTTP/1.1 431 ")
        assert (await asked(connect, long + b"\r\n\r\n")).startswith(b"HTTP/1.1 431 ")
        assert (await asked(connect, b"GET /metrics HTTP/1.1\r\n")).startswith(b"HTTP/1.1 400 ")
        assert (await asked(connect, b"POST /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
        assert (await asked(connect, b"GET /metrics HTTP/1.0\r\n\r\n")).endswith(BODY)

    against(tmp_path / "socket", use)


def test_who_says_nothing_is_hung_up_on_and_too_many_at_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_http, "REQUEST_SECONDS", 1.0)

    async def use(connect: Connect) -> None:
        silent = [await connect() for _ in range(CLIENTS)]
        await silent[-1][1].drain()
        late, writer = await connect()
        assert await late.read() == b""
        writer.close()
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
        assert (await asked(connect, b"GET /metrics HTTP/1.1\r\n\r\n")).endswith(BODY)

    against(tmp_path / "socket", use)


def test_the_socket_is_its_owner_s_alone_replaces_a_stale_one_and_goes_with_the_service(
    tmp_path: Path,
) -> None:
    path = tmp_path / "socket"

    async def use(connect: Connect) -> None:
        assert path.stat().st_mode & 0o777 == 0o600
        assert (await asked(connect, b"GET /metrics HTTP/1.1\r\n\r\n")).endswith(BODY)

    against(path, use)
    assert not path.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_loopback_port_serves_and_one_that_is_taken_is_told(host: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            taken = await asyncio.start_server(lambda *_: None, host.strip("[]"), 0)
            port = taken.sockets[0].getsockname()[1]
            with pytest.raises(RdvError, match=f"cannot be served at .*{port}"):
                async with serving(f"{host}:{port}", text):
                    pass
            taken.close()
            await taken.wait_closed()
            async with serving(f"{host}:{port}", text):
                answer = await asked(
                    lambda: asyncio.open_connection(host.strip("[]"), port), b"GET /metrics HTTP/1.1\r\n\r\n"
                )
                assert answer.endswith(BODY)

    asyncio.run(main())
