"""Tunnel parameters survive the shell, and malformed ones do not pass."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtunlib.errors import ProtocolError, UsageError
from vtunlib.tunnel import TunnelMode, UplinkType, VtunParameters

GOOD = VtunParameters(
    tunnel_ip_network=IPv4Address("10.200.0.0"),
    tunnel_ip_prefix=30,
    tunnelling_dev_ip_address=IPv4Address("10.200.0.2"),
    rdv_server_ip_address=IPv4Address("10.200.0.1"),
    tunnel_name="rdv-1f2e3d4c",
    tunnel_secret="0123456789abcdef" * 4,
)


@st.composite
def legs(draw: st.DrawFn) -> VtunParameters:
    prefix = draw(st.integers(8, 30))
    base = draw(st.ip_addresses(v=4))
    network = IPv4Network((int(base) >> (32 - prefix) << (32 - prefix), prefix))
    host = st.integers(0, network.num_addresses - 1)
    return VtunParameters(
        network.network_address,
        prefix,
        network[draw(host)],
        network[draw(host)],
        draw(st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)),
        draw(st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
        draw(st.integers(576, 65535)),
    )


@given(legs())
def test_parameters_come_back_from_their_lines(parameters: VtunParameters) -> None:
    assert VtunParameters.from_lines(parameters.to_lines()) == parameters


def test_the_addresses_carry_the_legs_prefix() -> None:
    assert GOOD.network == IPv4Network("10.200.0.0/30")
    assert GOOD.device_interface == IPv4Interface("10.200.0.2/30")
    assert GOOD.rdv_interface == IPv4Interface("10.200.0.1/30")


@pytest.mark.parametrize("key", [f.name for f in dataclasses.fields(VtunParameters)])
def test_a_missing_key_is_named(key: str) -> None:
    lines = [line for line in GOOD.to_lines() if not line.startswith(f"{key}:")]
    with pytest.raises(ProtocolError, match=key):
        VtunParameters.from_lines(lines)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tunnel_name", "a b"),
        ("tunnel_name", "a\n}"),
        ("tunnel_name", "Upper"),
        ("tunnel_name", ""),
        ("tunnel_name", "-f"),
        ("tunnel_name", "a" * 32),
        ("tunnel_secret", "0" * 63),
        ("tunnel_secret", "0" * 63 + "G"),
        ("tunnel_secret", "0" * 64 + "\n"),
        ("tunnel_mtu", 575),
        ("tunnel_mtu", 65536),
        ("rdv_server_ip_address", IPv4Address("10.200.0.5")),
        ("tunnelling_dev_ip_address", IPv4Address("127.0.0.1")),
    ],
)
def test_a_value_that_is_not_of_its_form_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ProtocolError):
        dataclasses.replace(GOOD, **{key: value})


@given(st.lists(st.text(max_size=60), max_size=12))
def test_whatever_the_rdv_says_is_parameters_or_a_protocol_error(lines: list[str]) -> None:
    with pytest.raises(ProtocolError):
        VtunParameters.from_lines(lines)


@pytest.mark.parametrize(
    "line", ["tunnel_ip_prefix: 33", "tunnel_ip_prefix: x", "tunnel_ip_network: 10.0.0.1"]
)
def test_a_malformed_value_among_good_lines_is_a_protocol_error(line: str) -> None:
    key = line.partition(":")[0]
    lines = [line if old.startswith(f"{key}:") else old for old in GOOD.to_lines()]
    with pytest.raises(ProtocolError):
        VtunParameters.from_lines(lines)


def test_a_mode_is_parsed_or_refused_with_what_was_expected() -> None:
    assert TunnelMode.parse("L2") is TunnelMode.L2
    with pytest.raises(UsageError, match="L2 or L3"):
        TunnelMode.parse("l2")


def test_only_a_wired_uplink_can_be_bridged() -> None:
    assert [uplink for uplink in UplinkType if uplink.bridgeable] == [UplinkType.LAN]
