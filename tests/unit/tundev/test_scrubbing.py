"""No secret of a device leaves it in a bundle, in whatever form and wherever a program has written it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tundev import config
from tundev.diagnosis.scrubbing import _SHOWN, LEFT_OUT, Scrubber, of_configuration, shown_configuration
from vtunlib.run import run

PASSWORD = 'p@ss/"wörd" 1'
PIN = "8341-of-this-desk"
WIFI = "the wireless secret"
LEG = "0123456789abcdef" * 4
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHvK1vXcm3wJyn2q0Q1Vn3sIc0y1Rk7Qk1hL0c2aB3cD"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A private key as ssh-keygen writes it."""
    file: Path = tmp_path_factory.mktemp("key") / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "one-time", "-f", str(file)])
    return file.read_text()


def configuration(key: str) -> str:
    return f'''[rdv]
server = "rdv.example.com"
account = "rpi1100"
host_key = "{HOST_KEY}"
proxy = "http://tech:{quote(PASSWORD, safe="")}@10.0.0.1:3128"
# proxy = "http://old:formersecret@10.0.0.1:3128"
enrol_key = """
{key}"""

[onsite]
location = "Royal Champagne"

[web]
pin = "{PIN}"

[uplink.wifi]
ssid = "office"
psk = "{WIFI}"
'''


FORMS: list[Callable[[str], str]] = [
    lambda secret: secret,
    lambda secret: f"x{secret}y",
    quote,
    quote_plus,
    lambda secret: quote(secret, safe=""),
    json.dumps,
    lambda secret: json.dumps(secret, ensure_ascii=False),
    lambda secret: secret.encode().hex(),
    lambda secret: secret.encode().hex(" ").upper(),
    lambda secret: base64.b64encode(secret.encode()).decode(),
    lambda secret: base64.b64encode(f"tech:{secret}".encode()).decode(),
    lambda secret: base64.urlsafe_b64encode(f"xy{secret}z".encode()).decode(),
]


def inner(form: str) -> str:
    """What of a form tells the secret: its ends may be of what stands beside it."""
    return form[4:-4]


@pytest.mark.parametrize("secret", [PASSWORD, PIN, WIFI])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_goes_in_each_form(key: str, secret: str, form: Callable[[str], str]) -> None:
    scrub = Scrubber(of_configuration(configuration(key)))
    written = form(secret)
    told = scrub.text(f"before {written} after")
    assert told.startswith("before ") and told.endswith(" after")
    assert LEFT_OUT in told
    assert inner(written) not in told


@given(st.text(min_size=9, max_size=40).filter(lambda text: text.strip() == text and text.isprintable()))
def test_a_secret_goes_whatever_it_is(secret: str) -> None:
    scrub = Scrubber([secret])
    for form in FORMS:
        told = scrub.text(f"<{form(secret)}>")
        assert (told[0], told[-1]) == ("<", ">")
        # Without the frame, for that may be what a short secret has in its middle.
        assert inner(form(secret)) not in told[1:-1].replace(LEFT_OUT, "")


def test_the_lines_of_a_key_go_one_by_one_and_all_together(key: str) -> None:
    scrub = Scrubber(of_configuration(configuration(key)))
    body = key.splitlines()[1:-1]
    for text in (key, json.dumps(key), "".join(body), "\n".join(f"host ssh[1]: {line}" for line in body)):
        told = scrub.text(text)
        assert not [line for line in body if line in told]


def test_what_has_the_form_of_a_secret_goes_though_nobody_knows_it(key: str) -> None:
    text = f"""passwd {LEG};
    GET http://somebody:formersecret@10.0.0.1:3128/
    Proxy-Authorization: Basic c29tZWJvZHk6Zm9ybWVyc2VjcmV0
    {key}"""
    told = Scrubber([]).text(text)
    for secret in (LEG, "formersecret", "c29tZWJvZHk6Zm9ybWVyc2VjcmV0", key.splitlines()[1]):
        assert secret not in told
    assert "10.0.0.1:3128" in told


def test_what_is_public_stays() -> None:
    certificate = f"-----BEGIN CERTIFICATE-----\n{'MIIB' * 16}\n-----END CERTIFICATE-----"
    text = f"{HOST_KEY}\n{certificate}\nrdv.example.com 203.0.113.10 02:00:00:00:00:01"
    assert Scrubber([PASSWORD]).text(text) == text


def test_a_short_secret_goes_only_as_a_word_of_its_own() -> None:
    scrub = Scrubber(["4711"])
    assert scrub.text("pin 4711, port 47110") == f"pin {LEFT_OUT}, port 47110"


def test_in_data_numbers_and_the_form_stay() -> None:
    told = Scrubber(["4711"]).data({"port": 4711, "said": ["4711"], "up": True, "none": None})
    assert told == {"port": 4711, "said": [LEFT_OUT], "up": True, "none": None}


def test_the_configuration_is_shown_without_what_it_must_not_tell(key: str) -> None:
    told = shown_configuration(configuration(key))
    for secret in (PASSWORD, quote(PASSWORD, safe=""), PIN, WIFI, "formersecret", key.splitlines()[1]):
        assert secret not in told
    assert 'server = "rdv.example.com"' in told and HOST_KEY in told and "Royal Champagne" in told
    assert f'pin = "{LEFT_OUT}"' in told


@pytest.mark.parametrize("fault", ["pin = ", "[rdv\n", 'x = "'])
def test_a_configuration_with_a_fault_tells_nothing_either(key: str, fault: str) -> None:
    text = f"{configuration(key)}\n{fault}"
    told = Scrubber(of_configuration(text)).text(f"{PIN} {WIFI} {key} {shown_configuration(text)}")
    for secret in (PIN, WIFI, *key.splitlines()[1:-1]):
        assert secret not in told


def test_a_key_that_a_later_version_adds_is_taken_for_a_secret() -> None:
    known = {table: set(keys) for table, keys in config._TABLES.items()}
    assert not [table for table, keys in _SHOWN.items() if keys - known[table]]
    hidden = {f"{table}.{key}" for table, keys in known.items() for key in keys - _SHOWN[table]}
    of_modem = {f"uplink.modem.{key}" for key in ("user", "password", "pin")}
    assert hidden == {"rdv.proxy", "rdv.enrol_key", "web.pin", "uplink.wifi.psk", *of_modem}
