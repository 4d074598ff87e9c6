"""The connections of the uplinks, as far as text tells; tests/lab/test_networkmanager.py has them read."""

from __future__ import annotations

import ipaddress

import pytest

from tundev.uplinks import keyfile, profiles
from tundev.uplinks.profiles import WiredInterface
from tundev.uplinks.wanted import Ethernet, Kind, Modem, Uplink, Wifi

PORT = WiredInterface("eth0", "02:00:00:00:11:22")
FIXED = Ethernet(
    ipaddress.IPv4Interface("192.168.1.9/24"),
    ipaddress.IPv4Address("192.168.1.1"),
    (ipaddress.IPv4Address("192.168.1.1"), ipaddress.IPv4Address("9.9.9.9")),
)
IN_VLAN = Ethernet(vlan=20)
BY_RADIO = Uplink(wifi=Wifi("office", "correct horse"), modem=Modem("internet"))


def sections(text: str) -> dict[str, dict[str, str]]:
    """Keys and values of each section, as they are written."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            keys = found.setdefault(line.strip("[]"), {})
        elif line:
            key, _, value = line.partition("=")
            keys[key] = value
    return found


FIRST = {"route-metric": "100", "dns-priority": "100"}


def of_onsite(uplink: Uplink) -> dict[str, dict[str, dict[str, str]]]:
    return {name: sections(text) for name, text in profiles.of_onsite(uplink, PORT).items()}


def of_master(uplink: Uplink, interface: str | None = None) -> dict[str, dict[str, dict[str, str]]]:
    return {name: sections(text) for name, text in profiles.of_master(uplink, interface).items()}


@pytest.mark.parametrize("uplink", [Uplink(), Uplink(ethernet=FIXED), Uplink(ethernet=IN_VLAN), BY_RADIO])
def test_each_connection_is_called_as_its_file_and_tried_for_ever(uplink: Uplink) -> None:
    for found in (of_onsite(uplink), of_master(uplink)):
        assert {name: said["connection"]["id"] for name, said in found.items()} == {
            name: name for name in found
        }
        assert {said["connection"]["autoconnect-retries"] for said in found.values()} == {"0"}
        assert len({said["connection"]["uuid"] for said in found.values()}) == len(found)


def test_by_dhcp_it_waits_for_an_address_for_ever() -> None:
    for said in (of_onsite(Uplink())["tundev-lan"], of_master(Uplink())["tundev-ethernet"]):
        assert said["ipv4"] == {"method": "auto", "dhcp-timeout": str(2**31 - 1), **FIRST}
        assert said["ipv6"] == {"method": "auto", **FIRST}


def test_a_fixed_address_is_the_bridge_s_on_an_onsite_and_the_interface_s_on_a_master() -> None:
    uplink = Uplink(ethernet=FIXED)
    for said in (of_onsite(uplink)["tundev-lan"], of_master(uplink)["tundev-ethernet"]):
        assert said["ipv4"] == {
            "method": "manual",
            "address1": "192.168.1.9/24,192.168.1.1",
            "dns": "192.168.1.1;9.9.9.9;",
            "ignore-auto-dns": "true",
            **FIRST,
        }


def test_dns_servers_may_be_named_beside_dhcp() -> None:
    said = of_onsite(Uplink(ethernet=Ethernet(dns=FIXED.dns)))["tundev-lan"]["ipv4"]
    assert (said["method"], said["dns"], said["ignore-auto-dns"]) == ("auto", "192.168.1.1;9.9.9.9;", "true")


def test_an_onsite_s_bridge_is_in_the_vlan_and_nothing_of_it_in_the_untagged_network() -> None:
    found = of_onsite(Uplink(ethernet=IN_VLAN))
    assert set(found) == {"tundev-lan", "tundev-lan-port", "tundev-lan-trunk"}
    port, trunk = found["tundev-lan-port"], found["tundev-lan-trunk"]
    assert port["connection"]["master"] == "tundev-lan"
    assert port["vlan"] == {"id": "20", "parent": trunk["connection"]["uuid"]}
    assert trunk["connection"]["interface-name"] == "eth0"
    assert (trunk["ipv4"], trunk["ipv6"]) == ({"method": "disabled"}, {"method": "disabled"})


def test_a_master_s_address_is_in_the_vlan() -> None:
    found = of_master(Uplink(ethernet=IN_VLAN), "eth1")
    assert set(found) == {"tundev-ethernet", "tundev-ethernet-trunk"}
    assert found["tundev-ethernet"]["vlan"]["parent"] == found["tundev-ethernet-trunk"]["connection"]["uuid"]
    assert found["tundev-ethernet"]["ipv4"]["method"] == "auto"
    assert found["tundev-ethernet-trunk"]["connection"]["interface-name"] == "eth1"


def test_a_master_s_own_connection_goes_before_ours_where_nothing_is_said() -> None:
    own_by_networkmanager, a_person_s = -999, 0
    for uplink, first in (
        (Uplink(), False),
        (Uplink(ethernet=FIXED), True),
        (Uplink(ethernet=IN_VLAN), True),
    ):
        ours = int(of_master(uplink)["tundev-ethernet"]["connection"]["autoconnect-priority"])
        assert own_by_networkmanager < ours
        assert (ours > a_person_s) is first


def test_without_a_port_an_onsite_has_what_goes_by_radio() -> None:
    assert set(profiles.of_onsite(BY_RADIO, None)) == {"tundev-wifi", "tundev-modem"}
    assert profiles.of_onsite(Uplink(), None) == {}


def test_the_routes_metrics_follow_the_order() -> None:
    uplink = Uplink((Kind.MODEM,), wifi=BY_RADIO.wifi, modem=BY_RADIO.modem)
    found = of_onsite(uplink)
    metrics = {name: said["ipv4"]["route-metric"] for name, said in found.items() if "ipv4" in said}
    assert metrics == {"tundev-modem": "100", "tundev-lan": "200", "tundev-wifi": "300"}
    assert all(
        said["ipv6"]["route-metric"] == said["ipv4"]["dns-priority"] == metrics[name]
        for name, said in found.items()
        if "ipv6" in said
    )


def test_wifi_shows_its_own_address_and_saves_no_power() -> None:
    said = of_onsite(BY_RADIO)["tundev-wifi"]
    assert said["wifi"] == {
        "mode": "infrastructure",
        "ssid": "111;102;102;105;99;101;",
        "cloned-mac-address": "permanent",
        "powersave": "2",
    }
    assert said["wifi-security"] == {"key-mgmt": "wpa-psk", "psk": "correct horse"}


def test_an_open_network_has_no_security_and_a_hidden_one_is_asked_for() -> None:
    said = of_master(Uplink(wifi=Wifi("guests", hidden=True)))["tundev-wifi"]
    assert "wifi-security" not in said
    assert said["wifi"]["hidden"] == "true"


def test_a_modem_has_what_its_operator_wants() -> None:
    modem = Modem("internet.m2m", "user", "pass word", "0000")
    said = of_onsite(Uplink(modem=modem))["tundev-modem"]
    assert said["connection"]["type"] == "gsm"
    expected = {"apn": "internet.m2m", "username": "user", "password": "pass word", "pin": "0000"}
    assert said["gsm"] == expected


def test_a_modem_without_a_password_waits_for_nobody_to_type_one() -> None:
    """A user alone is a valid login to some operators, and NetworkManager would ask for the rest of it."""
    for modem in (Modem("internet"), Modem("internet", "user"), Modem("internet", "user", pin="0000")):
        said = of_onsite(Uplink(modem=modem))["tundev-modem"]["gsm"]
        assert "password" not in said and said["password-flags"] == "4"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("  two  ", r"\s\stwo\s\s"),
        ("in side", "in side"),
        ("   ", r"\s\s\s"),
        ("back\\slash", r"back\\slash"),
        ("tab\there", r"tab\there"),
        ("two\r\nlines", r"two\r\nlines"),
        ("#;=[x]", "#;=[x]"),
        ("", ""),
    ],
)
def test_a_value_is_one_line_whatever_it_is(text: str, written: str) -> None:
    assert keyfile.escaped(text) == written
