"""A device's configuration: what is taken, and how what is not is told."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from tundev import config, settings
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
        (RDV.replace(KEY, "ssh-ed25519 AAAA\\nother"), "line 4: [rdv] host_key"),
        (RDV + '[master]\nextremity_subnet = "8.8.8.0/29"\nmode = 1\n', "line 7: [master] mode"),
        (RDV + '[master]\nextremity_subnet = "192.168.38.225/29"\n', "line 6: [master] extremity_subnet"),
        (RDV + '[master]\ninterface = "eth0; reboot"\n', "line 6: [master] interface"),
        (RDV + '[onsite]\nlocation = "a\\u0007b"\n', "line 6: [onsite] location"),
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


def test_the_command_line_stands_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tundev.toml"
    file.write_text(RDV)
    found = settings.load(path=file, account="rpi1101", server="192.0.2.1:22", uplink_type="wlan")
    assert (found.account, str(found.server), found.uplink_type) == ("rpi1101", "192.0.2.1:22", "wlan")


def test_tls_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "tundev.toml"
    file.write_text(RDV)
    with pytest.raises(ConfigError, match="TLS is not in this version"):
        settings.load(path=file, tls=True)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rdv-admin device add --bundle"):
        settings.load(path=tmp_path / "none.toml")
