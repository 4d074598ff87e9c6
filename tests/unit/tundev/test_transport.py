"""By which way a device dials, what it tries next, and what it says when none leads there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tundev import transport
from tundev.config import Rdv
from tundev.config_values import Server, Transport
from tundev.proxy import Proxy
from tundev.transport import DIRECT_AGAIN_SECONDS, Route, Routes
from vtunlib.errors import HostKeyMismatch, ProxyRefused, RdvError, RdvUnreachable, TlsIntercepted

PROXY = Proxy("10.0.0.1", 3128, "user", "SECRET")


def rdv(how: Transport, proxy: Proxy | None = None, port: int = 2222) -> Rdv:
    return Rdv(Server("rdv.example.com", port), "rpi1100", "ssh-ed25519 AAAA", how, "PEM", proxy)


@pytest.mark.parametrize(
    ("how", "proxy", "routes"),
    [
        (Transport.SSH, None, (Route.SSH,)),
        (Transport.TLS, None, (Route.TLS,)),
        (Transport.AUTO, None, (Route.SSH, Route.TLS)),
        (Transport.TLS, PROXY, (Route.PROXY,)),
        (Transport.AUTO, PROXY, (Route.SSH, Route.PROXY)),
    ],
)
def test_which_ways_there_are(how: Transport, proxy: Proxy | None, routes: tuple[Route, ...]) -> None:
    assert Routes(rdv(how, proxy)).order("eth0", 1.0) == routes


def test_what_worked_comes_first_until_the_network_changes() -> None:
    routes = Routes(rdv(Transport.AUTO))
    routes.order("eth0", 1.0)
    routes.worked(Route.TLS)
    assert routes.order("eth0", 2.0) == (Route.TLS, Route.SSH)
    assert routes.order("wlan0", 3.0) == (Route.SSH, Route.TLS)


def test_direct_ssh_is_tried_again_now_and_then() -> None:
    routes = Routes(rdv(Transport.AUTO))
    routes.order("eth0", 1.0)
    routes.worked(Route.TLS)
    later = 2.0 + DIRECT_AGAIN_SECONDS
    assert routes.order("eth0", later) == (Route.SSH, Route.TLS)
    routes.worked(Route.TLS)
    assert routes.order("eth0", later + 1) == (Route.TLS, Route.SSH)


@pytest.mark.parametrize(
    ("how", "port", "tls"),
    [
        (Transport.AUTO, 2222, 443),
        (Transport.AUTO, 2200, 443),
        (Transport.TLS, 2222, 443),
        (Transport.TLS, 8443, 8443),
    ],
)
def test_the_port_of_tls(how: Transport, port: int, tls: int) -> None:
    assert transport.first_hop(rdv(how, port=port), Route.TLS).port == tls


def test_through_a_proxy_only_the_proxy_is_dialled() -> None:
    there = rdv(Transport.TLS, PROXY)
    assert transport.first_hop(there, Route.PROXY) == transport.Hop(
        "10.0.0.1", 3128, "the proxy 10.0.0.1:3128"
    )
    way = transport.tls_way(there, Route.PROXY, "10.0.0.1")
    assert (way.address, way.port, way.host, way.host_port) == ("10.0.0.1", 3128, "rdv.example.com", 443)
    assert "SECRET" not in f"{PROXY} {PROXY!r} {way.proxy}"


def test_one_error_tells_of_all_ways_and_is_the_most_telling() -> None:
    direct = RdvUnreachable("no answer", "a firewall?")
    seen = TlsIntercepted("issued by 'CN=X'", "ask them")
    told = transport.all_failed({Route.SSH: direct, Route.TLS: seen})
    assert type(told) is TlsIntercepted
    assert str(told) == "by ssh: no answer; by tls: issued by 'CN=X'; ask them"
    assert transport.all_failed({Route.TLS: seen}) is seen
    assert type(transport.all_failed({Route.TLS: seen, Route.SSH: direct})) is TlsIntercepted


@pytest.mark.parametrize(
    ("error", "falls_back"),
    [(RdvUnreachable("x"), True), (ProxyRefused("x"), True), (HostKeyMismatch("x"), False)],
)
def test_a_verdict_of_ssh_is_the_same_by_any_way(error: RdvError, falls_back: bool) -> None:
    assert isinstance(error, transport.NO_WAY) is falls_back


def test_nobody_else_may_read_how_the_relay_dials(tmp_path: Path) -> None:
    way = transport.tls_way(rdv(Transport.TLS, PROXY), Route.PROXY, "10.0.0.1")
    file = tmp_path / "tls.json"
    transport.write_way(way, file, user=None)
    transport.write_way(way, file, user=None)
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["authorization"] == "Basic dXNlcjpTRUNSRVQ="
