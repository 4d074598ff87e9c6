"""The text for vtund; tests/netns shows that the real vtund takes it."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.vtunlib.test_tunnel import GOOD
from vtunlib.errors import ProtocolError
from vtunlib.tunnel import TunnelMode
from vtunlib.vtund_conf import client_config, server_config

SECRET = "0123456789abcdef" * 4


def test_the_servers_text() -> None:
    assert server_config(GOOD, TunnelMode.L3, "onsite") == (
        "options {\n"
        "  timeout 10;\n"
        "}\n"
        "rdv-1f2e3d4c {\n"
        f"  passwd s{SECRET};\n"
        "  type tun;\n"
        "  device onsite;\n"
        "  proto tcp;\n"
        "  encrypt no;\n"
        "  compress no;\n"
        "  keepalive 3:2;\n"
        "  stat no;\n"
        "  persist no;\n"
        "  multi yes;\n"
        "  timeout 10;\n"
        "}\n"
    )


def test_the_clients_text_differs_by_the_port_and_the_device() -> None:
    text = client_config(GOOD, TunnelMode.L2, "tundev-leg", 5001)
    assert "  port 5001;\n" in text
    assert "  device tundev-leg;\n" in text
    assert "  type ether;\n" in text


@pytest.mark.parametrize("mode", TunnelMode)
def test_each_line_has_one_statement_and_no_quote(mode: TunnelMode) -> None:
    for text in (server_config(GOOD, mode, "master"), client_config(GOOD, mode, "tundev-leg")):
        for line in text.splitlines():
            assert line.count(";") + line.count("{") + line.count("}") == 1
            assert '"' not in line


@pytest.mark.parametrize("name", ["options", "default", "up", "ip", "route", "stat", "persist"])
def test_a_tunnel_named_as_a_keyword_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match="keyword"):
        server_config(dataclasses.replace(GOOD, tunnel_name=name), TunnelMode.L3, "onsite")


@pytest.mark.parametrize("device", ["tun", "server", "no", "", "a;b", "a\nb", "../x", "0tap", "x" * 16])
def test_a_device_that_vtund_would_misread_is_refused(device: str) -> None:
    with pytest.raises(ProtocolError):
        server_config(GOOD, TunnelMode.L3, device)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_must_be_one(port: int) -> None:
    with pytest.raises(ProtocolError):
        client_config(GOOD, TunnelMode.L3, "tundev-leg", port)
