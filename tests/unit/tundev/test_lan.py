"""What a device tells of its network, from files as the system writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tundev.lan import dns_servers, uplink_type
from vtunlib.tunnel import UplinkType


def resolver(path: Path, *servers: str) -> Path:
    path.write_text("# made by a program\n" + "".join(f"nameserver {server}\n" for server in servers))
    return path


def test_a_stub_resolver_on_the_device_is_no_dns_server_of_the_network(tmp_path: Path) -> None:
    stub = resolver(tmp_path / "stub", "127.0.0.53")
    real = resolver(tmp_path / "real", "192.168.1.1", "192.168.1.1", "fd00::1", "8.8.8.8")
    assert [str(server) for server in dns_servers((stub, tmp_path / "absent", real))] == [
        "192.168.1.1",
        "8.8.8.8",
    ]


def test_no_dns_server_is_an_answer(tmp_path: Path) -> None:
    assert dns_servers((resolver(tmp_path / "stub", "127.0.0.1", "junk"),)) == []


@pytest.mark.parametrize(
    ("name", "hardware", "uevent", "kind"),
    [
        ("eth0", "1", "", UplinkType.LAN),
        ("tundev-lan", "1", "DEVTYPE=bridge", UplinkType.LAN),
        ("wlan0", "1", "DEVTYPE=wlan", UplinkType.WLAN),
        ("wwan0", "65534", "DEVTYPE=wwan", UplinkType.MOBILE),
        ("ppp0", "512", "", UplinkType.MOBILE),
        ("tun0", "65534", "", UplinkType.OTHER),
    ],
)
def test_the_uplinks_type(tmp_path: Path, name: str, hardware: str, uevent: str, kind: UplinkType) -> None:
    device = tmp_path / name
    device.mkdir()
    (device / "type").write_text(f"{hardware}\n")
    (device / "uevent").write_text(f"{uevent}\nINTERFACE={name}\n")
    assert uplink_type(name, tmp_path) is kind


def test_an_uplink_that_went_away_is_of_no_type(tmp_path: Path) -> None:
    assert uplink_type("eth0", tmp_path) is UplinkType.OTHER
