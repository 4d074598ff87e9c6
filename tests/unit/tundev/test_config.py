"""A device's configuration: what is taken, and how what is not is told."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import pytest

from rdv.tls import authority
from tundev import config, settings, transport
from tundev.config_values import Server, Transport
from tundev.proxy import Proxy
from vtunlib.errors import ConfigError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"
RDV = f'[rdv]\nserver = "rdv.example.com"\naccount = "rpi1100"\nhost_key = "{KEY}"\n'


def test_the_least_that_is_needed() -> None:
    found = config.parse(RDV, "tundev.toml")
    assert str(found.rdv.server) == "rdv.example.com"
    assert found.rdv.server.port == 2222
    assert found.rdv.host_key == KEY
    assert (found.onsite, found.master) == (None, None)


def test_both_roles_keys() -> None:
    text = RDV + '[onsite]\nlocation = "boiler room"\n[master]\ninterface = "eth1"\n'
    found = config.parse(text, "tundev.toml")
    assert found.onsite == config.Onsite("boiler room")
    assert found.master == config.Master(ipaddress.IPv4Network("192.168.38.224/29"), "eth1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "[rdv] is missing"),
        ("[rdv", "not TOML"),
        (RDV + "color = 1\n", "line 5: [rdv] color: is unknown"),
        (RDV.replace('"rpi1100"', "1100"), "line 3: [rdv] account"),
        (RDV.replace("rdv.example.com", "-oProxyCommand=id"), "line 2: [rdv] server"),
        (RDV.replace("rdv.example.com", "rdv.example.com:99999"), "line 2: [rdv] server"),
        (RDV.replace("rdv.example.com", "rdv..example.com"), "line 2: [rdv] server"),
        (RDV.replace("rdv.example.com", f"{'x' * 64}.com"), "line 2: [rdv] server"),
        (RDV.replace("rdv.example.com", f"{'x.' * 130}com"), "line 2: [rdv] server"),
        (RDV.replace(KEY, "ssh-ed25519 AAAA\\nother"), "line 4: [rdv] host_key"),
        (RDV + '[master]\nextremity_subnet = "8.8.8.0/29"\nmode = 1\n', "line 7: [master] mode"),
        (RDV + '[master]\nextremity_subnet = "192.168.38.225/29"\n', "line 6: [master] extremity_subnet"),
        (RDV + '[master]\ninterface = "eth0; reboot"\n', "line 6: [master] interface"),
        (RDV + "[master]\ngrace = 31\n", "line 6: [master] grace"),
        (RDV + "[master]\ngrace = true\n", "line 6: [master] grace"),
        (
            RDV + '[master]\ninterface = "eth1"\nuplink = "eth1"\n',
            "line 7: [master] uplink: is the technician's port too",
        ),
        (RDV + "[web]\nuplink = true\n", "line 6: [web] uplink: needs a pin"),
        (RDV + '[web]\nuplink = "yes"\n', "line 6: [web] uplink: expected true or false"),
        (RDV + '[onsite]\nlocation = "a\\u0007b"\n', "line 6: [onsite] location"),
        (RDV + 'transport = "udp"\n', "line 5: [rdv] transport"),
        (RDV + 'ca_cert = "/etc/ca.crt"\n', "line 5: [rdv] ca_cert"),
        (RDV + "[onside]\n", "line 5: onside: is unknown"),
        ("[rdv]\nserver = 'a'\naccount = 'b'\n", "[rdv]: host_key is missing"),
    ],
)
def test_a_fault_names_line_key_and_what_was_expected(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.parse(text, "tundev.toml")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_enrolment_key_is_not_repeated_in_an_error() -> None:
    with pytest.raises(ConfigError) as raised:
        config.parse(RDV + 'enrol_key = ["SECRET"]\n', "tundev.toml")
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("pin", ['"S3K"', '"S3\\u0007K7"', "1234", f'"{"S3K" * 22}"'])
def test_a_pin_is_not_repeated_in_an_error(pin: str) -> None:
    with pytest.raises(ConfigError, match=r"line 6: \[web\] pin: expected") as raised:
        config.parse(f"{RDV}[web]\npin = {pin}\n", "tundev.toml")
    assert pin.strip('"') not in str(raised.value)


def test_the_page_s_own_keys() -> None:
    found = config.parse(RDV + '[web]\npin = "4711"\nuplink = true\n', "tundev.toml").web
    assert found == config.Web("4711", True)
    assert "4711" not in repr(found)


def test_the_command_line_stands_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tundev.toml"
    file.write_text(RDV)
    found = settings.load(path=file, account="rpi1101", server="192.0.2.1:22", uplink_type="wlan")
    assert (found.account, str(found.server), found.uplink_type) == ("rpi1101", "192.0.2.1:22", "wlan")


def test_the_flag_for_tls_stands_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tundev.toml"
    file.write_text(RDV + 'transport = "ssh"\n')
    assert settings.load(path=file).config.rdv.transport is Transport.SSH
    assert settings.load(path=file, tls=True).config.rdv.transport is Transport.TLS


@pytest.mark.parametrize(
    ("held", "given", "port"),
    [("ssh", None, 443), ("auto", None, 443), ("tls", None, 2200), ("auto", "rdv.example.com:8443", 8443)],
)
def test_the_flag_for_tls_does_not_take_the_port_of_ssh_for_that_of_tls(
    tmp_path: Path, held: str, given: str | None, port: int
) -> None:
    file = tmp_path / "tundev.toml"
    file.write_text(RDV.replace("rdv.example.com", "rdv.example.com:2200") + f'transport = "{held}"\n')
    found = settings.load(path=file, tls=True, server=given)
    assert transport.first_hop(found.config.rdv, transport.Route.TLS).port == port


def test_no_secret_is_in_what_is_shown_of_a_configuration() -> None:
    rdv = config.Rdv(Server("a"), "b", KEY, proxy=Proxy("c", 1, "d", "SECRET"), enrol_key="SECRET")
    way = transport.tls_way(rdv, transport.Route.PROXY, "192.0.2.1")
    assert "SECRET" not in f"{rdv!r}{rdv.proxy}" and way.authorization not in repr(way)


def test_the_cas_of_a_bundle_are_taken() -> None:
    """As rdv-admin writes them: all of them, what stands around them left out."""
    ca = authority.make_ca("the RDV", datetime.datetime.now(datetime.UTC)).certificate
    found = config.parse(RDV + f'ca_cert = """\nours\n{ca}{ca}"""\n', "tundev.toml")
    assert found.rdv.ca_cert == ca + ca


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://10.0.0.1:3128", Proxy("10.0.0.1", 3128)),
        ("http://proxy.customer.lan:8080/", Proxy("proxy.customer.lan", 8080)),
        ("http://me:p%40ss%3a@10.0.0.1:3128", Proxy("10.0.0.1", 3128, "me", "p@ss:")),
        ("http://me@10.0.0.1:3128", Proxy("10.0.0.1", 3128, "me")),
    ],
)
def test_a_proxy(text: str, proxy: Proxy) -> None:
    assert config.parse(RDV + f'proxy = "{text}"\n', "tundev.toml").rdv.proxy == proxy


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1:3128",
        "https://u:SECRET@10.0.0.1:3128",
        "http://u:SECRET@10.0.0.1",
        "http://u:SECRET@10.0.0.1:99999",
        "http://u:SECRET%0d%0aX@10.0.0.1:3128",
        "http://u%3a:SECRET@10.0.0.1:3128",
        "http://u:SECRET@10.0.0.1:3128/path",
        "http://u:SECRET@proxy..lan:3128",
    ],
)
def test_what_is_no_proxy_is_told_without_its_password(text: str) -> None:
    with pytest.raises(ConfigError, match=r"line 5: \[rdv\] proxy: expected") as raised:
        config.parse(RDV + f'proxy = "{text}"\n', "tundev.toml")
    assert "SECRET" not in str(raised.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rdv-admin device add --bundle"):
        settings.load(path=tmp_path / "none.toml")
