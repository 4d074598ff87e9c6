"""The way by TLS: which certificates are taken, what is said of the others, and of proxies."""

from __future__ import annotations

import datetime
import json
import socket
import subprocess
import threading
from dataclasses import asdict
from pathlib import Path

import pytest

from rdv.tls import authority
from rdv.tls.authority import Pair
from tests.unit.tundev.tls_server import echo, listening, proxy, tls
from tundev.proxy import connect_through
from tundev.tls_dial import Way, dial
from vtunlib.errors import CertificateRefused, ProxyRefused, RdvUnreachable, TlsIntercepted

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
RELAY = ["/usr/bin/python3", "-m", "tundev.tls_relay"]


@pytest.fixture(scope="module")
def ca() -> Pair:
    """Its own clock is right: it is the server's certificate that may not be valid yet."""
    return authority.make_ca("the RDV", NOW)


def way(port: int, ca: Pair | None, host: str = "127.0.0.1") -> Way:
    return Way("127.0.0.1", port, host, port, ca.certificate if ca else "")


def test_a_certificate_of_the_bundles_ca_for_the_servers_name(tmp_path: Path, ca: Pair) -> None:
    pair = authority.issue(ca, ["127.0.0.1"], NOW)
    with listening(tls(pair, tmp_path, echo)) as port:
        secured = dial(way(port, ca))
        with secured.sock as sock:
            sock.sendall(b"hello")
            assert (sock.recv(5), secured.note) == (b"hello", "")


@pytest.mark.parametrize(
    ("issued", "days", "said"),
    [(NOW + 3650 * DAY, 730, "it is not valid yet"), (NOW - 1000 * DAY, 730, "it is no longer valid")],
    ids=["clock at its start", "expired"],
)
def test_failing_by_time_alone_is_taken_and_said(
    tmp_path: Path, ca: Pair, issued: datetime.datetime, days: int, said: str
) -> None:
    pair = authority.issue(ca, ["127.0.0.1"], issued, days)
    with listening(tls(pair, tmp_path, echo)) as port:
        secured = dial(way(port, ca))
        secured.sock.close()
        assert said in secured.note


def test_a_ca_that_is_not_valid_yet_either(tmp_path: Path) -> None:
    """What a device sees whose clock is before the day of the server's installation."""
    ca = authority.make_ca("the RDV", NOW + 3650 * DAY)
    pair = authority.issue(ca, ["127.0.0.1"], NOW + 3650 * DAY)
    with listening(tls(pair, tmp_path, echo)) as port:
        secured = dial(way(port, ca))
        secured.sock.close()
        assert "it is not valid yet" in secured.note


@pytest.mark.parametrize("issued", [NOW, NOW + 3650 * DAY], ids=["valid", "not valid yet"])
def test_an_interception_is_told_by_its_issuer(tmp_path: Path, ca: Pair, issued: datetime.datetime) -> None:
    """Also where the interceptor's certificate fails by time besides."""
    theirs = authority.make_ca("Example Inspection", issued)
    pair = authority.issue(theirs, ["127.0.0.1"], issued)
    with listening(tls(pair, tmp_path, echo)) as port, pytest.raises(TlsIntercepted) as raised:
        dial(way(port, ca))
    assert "'CN=RDV CA of Example Inspection'" in raised.value.message


def test_without_a_ca_those_of_debian_count(tmp_path: Path, ca: Pair) -> None:
    pair = authority.issue(ca, ["127.0.0.1"], NOW)
    with listening(tls(pair, tmp_path, echo)) as port, pytest.raises(TlsIntercepted, match="ca_cert"):
        dial(way(port, None))


@pytest.mark.parametrize("issued", [NOW, NOW - 1000 * DAY], ids=["valid", "expired"])
def test_the_right_ca_for_another_name(tmp_path: Path, ca: Pair, issued: datetime.datetime) -> None:
    pair = authority.issue(ca, ["rdv.example.com"], issued)
    with listening(tls(pair, tmp_path, echo)) as port, pytest.raises(CertificateRefused, match="tls renew"):
        dial(way(port, ca))


def _ssh(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    connection.recv(1000)


def _silent_end(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize(("handler", "said"), [(_ssh, "does not speak TLS"), (_silent_end, "was cut off")])
def test_what_is_no_tls(ca: Pair, handler: object, said: str) -> None:
    with listening(handler) as port, pytest.raises(RdvUnreachable, match=said):  # type: ignore[arg-type]
        dial(way(port, ca))


def test_nobody_there(ca: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RdvUnreachable, match="Connection refused"):
        dial(way(port, ca))


def through(port: int, ca: Pair, authorization: str = "") -> Way:
    """By a proxy at `port`, which resolves the server's name: here nobody does."""
    return Way("127.0.0.1", port, "rdv.example.com", 443, ca.certificate, "10.0.0.1:3128", authorization)


def test_through_a_proxy_that_resolves_the_name(tmp_path: Path, ca: Pair) -> None:
    pair = authority.issue(ca, ["rdv.example.com"], NOW)
    asked: list[str] = []
    with (
        listening(tls(pair, tmp_path, echo)) as port,
        listening(proxy("HTTP/1.1 200 OK\r\nVia: x\r\n\r\n", port, asked)) as hop,
    ):
        secured = dial(through(hop, ca, "Basic dTpw"))
        with secured.sock as sock:
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"
    assert asked[0].splitlines()[0] == "CONNECT rdv.example.com:443 HTTP/1.1"
    assert "Proxy-Authorization: Basic dTpw\r\n" in asked[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            "HTTP/1.1 403 Filtered\r\n\r\n<html>No.</html>",
            "403 Filtered; its administrator must allow CONNECT to rdv",
        ),
        ("HTTP/1.0 407 Proxy Authentication Required\r\nX: y\r\n\r\n", "wants another user and password"),
        ("HTTP/1.1 502 \x1b[2J\r\n\r\n", r"502 \?\[2J; the proxy itself cannot reach"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "refuses the way"),
        ("HTTP/1.1 200 OK\r\n\r\nmore", "is no HTTP proxy"),
        ("SSH-2.0-x\r\n\r\n", "is no HTTP proxy"),
        ("HTTP/1.1 200", "did not answer as one"),
        ("HTTP/1.1 200 OK\r\n" + "x" * 20000, "did not answer as one"),
    ],
)
def test_a_proxy_that_refuses_or_is_none(ca: Pair, answer: str, said: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as nobody,
        listening(proxy(answer, nobody.getsockname()[1], [])) as hop,
        pytest.raises(ProxyRefused, match=said),
    ):
        # Where it says 200, what it connects to says nothing, and it ends.
        nobody.close()
        dial(through(hop, ca, "Basic c2VjcmV0"))


def test_the_relay_passes_much_both_ways_at_once(tmp_path: Path, ca: Pair) -> None:
    """Neither side reads while it has not written: each must be held up by the other alone."""
    size = 8_000_000
    pair = authority.issue(ca, ["127.0.0.1"], NOW)
    file = tmp_path / "way"
    with listening(tls(pair, tmp_path, echo)) as port:
        file.write_text(json.dumps(asdict(way(port, ca))))
        sent = bytes(range(256)) * (size // 256)
        with subprocess.Popen([*RELAY, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stdout is not None
            writer = threading.Thread(target=process.stdin.write, args=(sent,))
            writer.start()
            assert process.stdout.read(size) == sent
            writer.join()
            process.stdin.close()  # as ssh ends
            assert process.wait(10) == 0


def test_the_relay_ends_with_the_server_and_loses_nothing(tmp_path: Path, ca: Pair) -> None:
    text = b"x" * 3_000_000
    pair = authority.issue(ca, ["127.0.0.1"], NOW)
    file = tmp_path / "way"
    with listening(tls(pair, tmp_path, lambda sock: sock.sendall(text))) as port:
        file.write_text(json.dumps(asdict(way(port, ca))))
        with subprocess.Popen([*RELAY, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.read() == text
    assert process.returncode == 0


def test_the_relay_says_why_it_cannot(tmp_path: Path, ca: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = tmp_path / "way"
    file.write_text(json.dumps(asdict(way(port, ca))))
    told = subprocess.run([*RELAY, str(file)], capture_output=True, text=True, check=False, timeout=30)
    assert told.returncode == RdvUnreachable.exit_code
    assert told.stderr.startswith("tls-relay: 127.0.0.1:")


def test_a_proxy_that_answers_byte_by_byte_does_not_hold_the_device() -> None:
    """Each byte is in time; the answer is not."""
    ours, theirs = socket.socketpair()
    given_up = threading.Event()

    def drip() -> None:
        for _ in range(400):
            if given_up.wait(0.02):
                break
            theirs.send(b"x")
        theirs.close()

    with ours:
        ours.settimeout(0.5)
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(TimeoutError):
            connect_through(ours, "10.0.0.1:3128", "rdv.example.com:443", "")
        given_up.set()
        thread.join(10)
