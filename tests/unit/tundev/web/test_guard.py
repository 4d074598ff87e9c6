"""Which requests are the page's own, by their headers."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from tundev.web.guard import Refused, authorities, check_form, check_host, check_origin
from tundev.web.places import Kind, Place

PORT = Place(Kind.PORT, IPv4Address("192.168.38.225"), "enx1")
UPLINK = Place(Kind.UPLINK, IPv4Address("192.168.7.5"), "eth0")


@pytest.mark.parametrize(
    "host", ["192.168.38.225", "192.168.38.225:80", "master.local", "Master.Local", "master.local:80"]
)
def test_the_port_s_address_and_name_are_the_page_s(host: str) -> None:
    check_host({"Host": host}, PORT, 80)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "192.168.38.225.evil.example", "192.168.38.225:8080", "192.168.7.5", ""),
        *("localhost", "master.local.evil.example", "[::1]", "192.168.038.225"),
    ],
)
def test_any_other_host_is_misdirected(host: str) -> None:
    with pytest.raises(Refused) as refused:
        check_host({"Host": host}, PORT, 80)
    assert refused.value.status == 421


def test_a_request_without_host_is_misdirected() -> None:
    with pytest.raises(Refused):
        check_host({}, PORT, 80)


def test_the_name_is_the_port_s_alone() -> None:
    assert authorities(UPLINK, 80) == {"192.168.7.5", "192.168.7.5:80"}


def test_the_port_of_another_address_is_part_of_the_host() -> None:
    assert authorities(UPLINK, 8080) == {"192.168.7.5:8080"}


OWN = {"Host": "192.168.38.225"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://192.168.38.225"},
        {"Origin": "http://192.168.38.225", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_the_page_itself_may_ask(headers: dict[str, str]) -> None:
    check_origin({**OWN, **headers})


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://192.168.38.225"},
        {"Origin": "http://192.168.38.225:8080"},
        {"Origin": "http://192.168.38.225.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        check_origin({**OWN, **headers})
    assert refused.value.status == 403


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_taken(kind: str) -> None:
    check_form({"Content-Type": kind})


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain; application/json",
    ],
)
def test_what_a_form_can_send_is_not(kind: str) -> None:
    with pytest.raises(Refused) as refused:
        check_form({"Content-Type": kind})
    assert refused.value.status == 415
