"""The bundle: what is in it, whom it is for, and over what it is never written."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from rdv.devices import Device
from rdv.enrolment import bundle
from rdv.enrolment.bundle import Bundle
from tests.lab.customer import make_key
from tests.unit.tundev.test_archive_key import UPDATES
from tests.unit.tundev.test_config import RDV
from tundev import config
from vtunlib.errors import AlreadyExists, ConfigError, NotFound
from vtunlib.tunnel import Role

HOST = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"
ONSITE = Device("rpi1100", Role.ONSITE, "", 'Royal "Champagne", cave n° 2')
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def a_bundle(private: str = "", ca: str = "") -> Bundle:
    return Bundle("rdv.example.com:443", ONSITE, HOST, private, ca)


def test_it_says_server_account_keys_and_place(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    private = (tmp_path / "key").read_text()
    found = tomllib.loads(bundle.text(a_bundle(private, PEM)))
    assert found == {
        "rdv": {
            "server": "rdv.example.com:443",
            "account": "rpi1100",
            "host_key": HOST,
            "ca_cert": PEM,
            "enrol_key": private,
        },
        "onsite": {"location": ONSITE.location},
    }


def test_what_the_admin_adds_to_all_of_them_stands_at_its_end(tmp_path: Path) -> None:
    file = tmp_path / "bundle.toml"
    assert bundle.more(file) == ""
    # One of the device's tables each: what is added is taken there as it stands.
    file.write_text(f'# ours\n[login]\nauthorized_keys = ["{HOST} anna"]\n{UPDATES.partition(RDV)[2]}')
    text = bundle.text(replace(a_bundle(), more=bundle.more(file)))
    assert text.startswith(bundle.text(a_bundle()))
    found = config.parse(text, "tundev.toml")
    assert found.login is not None and found.updates is not None
    assert found.onsite is not None and found.onsite.location == ONSITE.location


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ("[rdv]\nserver = 'a'\n", ":1: rdv; expected one of the tables"),
        ("\n[onsite]\n", ":2: onsite"),
        ("pin = '1'\n", ":1: pin"),
        ("[login", "expected TOML"),
        ("# ours\nlogin.authorized_keys = []\n", ":2: login; expected [login] on a line of its own"),
        ("\nweb = { pin = '1234' }\n", ":2: web; expected [web] on a line of its own"),
    ],
)
def test_what_is_a_device_s_own_is_not_added(tmp_path: Path, added: str, told: str) -> None:
    file = tmp_path / "bundle.toml"
    file.write_text(added)
    with pytest.raises(ConfigError) as raised:
        bundle.more(file)
    assert told in str(raised.value)


def test_it_is_for_its_owner_alone_and_may_be_written_again(tmp_path: Path) -> None:
    file = tmp_path / "rpi1100.toml"
    for server in ("a", "b"):
        bundle.write(file, Bundle(server, ONSITE, HOST))
        assert file.stat().st_mode & 0o777 == 0o600
        assert f'server   = "{server}"' in file.read_text()
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", ["", "what was here", '[rdv]\naccount = "rpi2"\n', "rdv = 1\n"])
def test_what_is_not_this_device_s_is_never_written_over(tmp_path: Path, content: str) -> None:
    file = tmp_path / "rpi1100.toml"
    file.write_text(content)
    with pytest.raises(AlreadyExists, match="is no bundle of rpi1100; choose"):
        bundle.write(file, a_bundle())
    assert file.read_text() == content


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder"):
        bundle.check_place(tmp_path / "none" / "rpi1100.toml", "rpi1100")


def test_a_private_key_is_known_by_its_public_half(tmp_path: Path) -> None:
    public, other = (" ".join(make_key(tmp_path / name).split()[:2]) for name in ("key", "other"))
    file = tmp_path / "rpi1100.toml"
    bundle.write(file, a_bundle((tmp_path / "key").read_text()))
    assert bundle.holds(bundle.enrol_key(file), public)
    assert not bundle.holds(bundle.enrol_key(file), other)
    assert not bundle.holds("", public)
