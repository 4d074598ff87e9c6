"""[uplink] of tundev.toml: what is taken, in which order the uplinks come, and how what is not is told."""

from __future__ import annotations

import ipaddress

import pytest

from tests.unit.tundev.test_config import RDV
from tundev import config
from tundev.uplinks.wanted import Ethernet, Kind, Modem, Uplink, Wifi, connection
from vtunlib.errors import ConfigError
from vtunlib.tunnel import Role

WIFI = '[uplink.wifi]\nssid = "office"\n'
MODEM = '[uplink.modem]\napn = "internet"\n'
BY_NAME = RDV
BY_ADDRESS = RDV.replace("rdv.example.com", "203.0.113.10")
BY_PROXY = f'{RDV}proxy = "http://10.0.0.1:3128"\n'


def parsed(text: str) -> Uplink:
    return config.parse(text, "tundev.toml").uplink


def test_without_any_it_is_ethernet_by_dhcp() -> None:
    assert parsed(RDV) == Uplink()
    assert Uplink().order == (Kind.ETHERNET,)


def test_all_keys() -> None:
    found = parsed(
        RDV + '[uplink]\norder = ["wifi", "ethernet"]\n'
        '[uplink.ethernet]\naddress = "192.168.1.9/24"\ngateway = "192.168.1.1"\n'
        'dns = ["192.168.1.1", "9.9.9.9"]\nvlan = 20\n'
        '[uplink.wifi]\nssid = "Café"\npsk = "correct horse"\ncountry = "FR"\nhidden = true\n'
        '[uplink.modem]\napn = "internet.m2m"\nuser = "u"\npassword = "p"\npin = "0000"\n'
    )
    servers = (ipaddress.IPv4Address("192.168.1.1"), ipaddress.IPv4Address("9.9.9.9"))
    own = ipaddress.IPv4Interface("192.168.1.9/24")
    assert found.ethernet == Ethernet(own, servers[0], servers, 20)
    assert found.wifi == Wifi("Café", "correct horse", "FR", True)
    assert found.modem == Modem("internet.m2m", "u", "p", "0000")
    assert found.order == (Kind.WIFI, Kind.ETHERNET, Kind.MODEM)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", "ethernet"),
        (MODEM, "ethernet modem"),
        (WIFI + MODEM, "ethernet wifi modem"),
        (f'[uplink]\norder = ["modem"]\n{WIFI}{MODEM}', "modem ethernet wifi"),
        (f'[uplink]\norder = ["modem", "wifi", "ethernet"]\n{WIFI}{MODEM}', "modem wifi ethernet"),
        ("[uplink]\norder = []\n", "ethernet"),
    ],
)
def test_the_metrics_follow_the_order_and_all_that_is_set_up_is_used(text: str, order: str) -> None:
    found = parsed(RDV + text)
    assert " ".join(found.order) == order
    assert [found.metric(kind) for kind in found.order] == [100, 200, 300][: len(found.order)]


def test_each_uplink_has_one_connection() -> None:
    ids = {role: [connection(kind, role) for kind in Kind] for role in (Role.ONSITE, Role.MASTER)}
    assert ids[Role.ONSITE] == ["tundev-lan", "tundev-wifi", "tundev-modem"]
    assert ids[Role.MASTER] == ["tundev-ethernet", "tundev-wifi", "tundev-modem"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[uplink]\nwired = true\n",
            "line 6: [uplink] wired: is unknown; expected one of order, [uplink.eth",
        ),
        ("[uplink.lte]\nx = 1\n", "line 5: [uplink] lte: is unknown"),
        ('["uplink.wifi"]\nssid = "a"\n', "uplink.wifi: is unknown"),
        ("[uplink]\nwifi = true\n", "line 6: [uplink] wifi: expected a table, [uplink.wifi]"),
        ('[uplink]\norder = "wifi"\n', "line 6: [uplink] order: expected a list of"),
        ('[uplink]\norder = ["lan"]\n', "line 6: [uplink] order: expected a list of"),
        ('[uplink]\norder = ["ethernet", "ethernet"]\n', "line 6: [uplink] order: expected a list of"),
        ('[uplink]\norder = ["wifi"]\n', "line 6: [uplink] order: names wifi, and there is no [uplink.wifi]"),
        ("[uplink.wifi]\nhidden = true\n", "line 5: [uplink.wifi]: ssid is missing"),
        ('[uplink.wifi]\nssid = ""\n', "line 6: [uplink.wifi] ssid: expected the name"),
        (f'[uplink.wifi]\nssid = "{"é" * 17}"\n', "line 6: [uplink.wifi] ssid: expected the name"),
        (f'{WIFI}country = "France"\n', "line 7: [uplink.wifi] country: expected a country in two"),
        (f'{WIFI}country = "fr"\n', "line 7: [uplink.wifi] country: expected a country in two"),
        (f'{WIFI}hidden = "no"\n', "line 7: [uplink.wifi] hidden: expected true or false"),
        ("[uplink.modem]\n", "line 5: [uplink.modem]: apn is missing"),
        ('[uplink]\nmodem.apn = "a b"\n', "line 6: [uplink.modem] apn: expected the APN"),
        ('[uplink]\nmodem = {apn = "a", colour = 1}\n', "line 6: [uplink.modem] colour: is unknown"),
        ("[uplink.ethernet]\nvlan = 0\n", "line 6: [uplink.ethernet] vlan: expected a VLAN's number"),
        ("[uplink.ethernet]\nvlan = 4095\n", "line 6: [uplink.ethernet] vlan: expected a VLAN's number"),
        ("[uplink.ethernet]\nvlan = true\n", "line 6: [uplink.ethernet] vlan: expected a VLAN's number"),
        ("[uplink.ethernet]\ndns = []\n", "line 6: [uplink.ethernet] dns: expected a list of 1 to 3"),
        ('[uplink.ethernet]\ndns = ["::1"]\n', "line 6: [uplink.ethernet] dns: expected a list of 1 to 3"),
        ('[uplink.ethernet]\ndns = "9.9.9.9"\n', "line 6: [uplink.ethernet] dns: expected a list of 1 to 3"),
        ('[uplink.ethernet]\ngateway = "router"\n', "line 6: [uplink.ethernet] gateway: expected the router"),
        ('[uplink.ethernet]\ngateway = "10.0.0.1"\n', "line 6: [uplink.ethernet] gateway: needs an address"),
    ],
)
def test_a_fault_names_line_key_and_what_was_expected(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.parse(RDV + text, "tundev.toml")
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("192.168.1.9", "address: expected an IPv4 address with its prefix"),
        ("192.168.1.9/33", "address: expected an IPv4 address with its prefix"),
        ("192.168.1.9/32", "address: expected an IPv4 address with its prefix"),
        ("192.168.1.0/24", "address: expected an IPv4 address with its prefix"),
        ("192.168.1.255/24", "address: expected an IPv4 address with its prefix"),
        ("127.0.0.1/8", "address: expected an IPv4 address with its prefix"),
        ("fd00::1/64", "address: expected an IPv4 address with its prefix"),
        ("192.168.1.1/24", "gateway: expected another host's address in 192.168.1.0/24"),
        ("192.168.2.9/24", "gateway: expected another host's address in 192.168.2.0/24"),
    ],
)
def test_a_fixed_address_that_no_host_can_have_is_refused(address: str, told: str) -> None:
    text = f'[uplink.ethernet]\naddress = "{address}"\ngateway = "192.168.1.1"\ndns = ["9.9.9.9"]\n'
    with pytest.raises(ConfigError) as raised:
        config.parse(RDV + text, "tundev.toml")
    assert f"[uplink.ethernet] {told}" in str(raised.value)


def test_a_fixed_address_needs_a_gateway() -> None:
    with pytest.raises(ConfigError, match="address: needs a gateway beside it"):
        parsed(f'{BY_ADDRESS}[uplink.ethernet]\naddress = "192.168.1.9/24"\n')


@pytest.mark.parametrize("rdv", [BY_ADDRESS, BY_PROXY])
def test_a_fixed_address_needs_no_dns_where_no_name_is_asked_for(rdv: str) -> None:
    fixed = '[uplink.ethernet]\naddress = "192.168.1.8/31"\ngateway = "192.168.1.9"\n'
    assert parsed(rdv + fixed).ethernet.dns == ()
    with pytest.raises(ConfigError, match=r"needs dns beside it: rdv\.example\.com is a name"):
        parsed(BY_NAME + fixed)


@pytest.mark.parametrize(
    "text",
    [
        f'{WIFI}psk = "SECRET7"\n',
        f'{WIFI}psk = "SECRET\\u00e9\\u00e9\\u00e9"\n',
        f'{WIFI}psk = "{"SECRET78" * 8}"\n',
        f'{WIFI}psk = ["SECRET78"]\n',
        f'{MODEM}password = "SECRET\\n"\n',
        f'{MODEM}user = "{"SECRET" * 20}"\n',
        f'{MODEM}pin = "SECRET"\n',
    ],
)
def test_a_secret_is_not_repeated_in_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"line 7: \[uplink\.(wifi|modem)\] \w+: expected") as raised:
        parsed(RDV + text)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("psk", ["8 chars.", "x" * 63, "0123456789abcdefABCDEF" + "0" * 42, " # ;\\\\= x"])
def test_a_passphrase_may_be_what_wpa_allows(psk: str) -> None:
    wifi = parsed(f'{RDV}{WIFI}psk = "{psk}"\n').wifi
    assert wifi is not None and wifi.psk == psk.replace("\\\\", "\\")
    assert psk not in repr(wifi)
