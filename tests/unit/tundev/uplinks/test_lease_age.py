"""Since when a lease holds, by what NetworkManager tells of it."""

from __future__ import annotations

import time

import pytest

from tundev.uplinks.networkmanager import lease_age


def test_it_is_told_by_its_end_and_its_length() -> None:
    lease = {"expiry": str(int(time.time()) + 3500), "dhcp_lease_time": "3600", "routers": "192.0.2.1"}
    assert lease_age(lease) == pytest.approx(100, abs=30)


@pytest.mark.parametrize(
    "lease",
    [
        pytest.param({"dhcp_lease_time": "4294967295"}, id="without an end"),
        pytest.param({"expiry": "0x7", "dhcp_lease_time": "3600"}, id="of no number"),
        pytest.param(
            {"expiry": str(int(time.time()) + 9000), "dhcp_lease_time": "3600"}, id="clock put back"
        ),
        pytest.param({}, id="none yet"),
    ],
)
def test_what_tells_no_age_has_none(lease: dict[str, str]) -> None:
    assert lease_age(lease) is None
