"""The state as the page gets it, and what is kept of the configuration for it."""

from __future__ import annotations

import json
import math
import os
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tundev import config
from tundev.web import settings, state
from tundev.web.assets import load
from tundev.web.pin import PinHash
from tundev.web.places import Kind, Place
from tundev.web.settings import PageSettings
from vtunlib.errors import Busy, ConfigError, NotFound

HERE = {
    Kind.PORT: Place(Kind.PORT, IPv4Address("192.168.38.225"), "enx1"),
    Kind.UPLINK: Place(Kind.UPLINK, IPv4Address("192.168.7.5"), "eth0"),
}


def test_who_looks_is_told_where_and_where_else_the_page_is() -> None:
    agent = {"role": "master", "state": "SSH_connection_OK"}
    port = {"state": "ready"}
    shown = state.state(agent, port, [{"id": "a"}], HERE, seen_from=Kind.PORT, account="rpi1101")
    assert (shown["agent"], shown["port"], shown["onsites"]) == (agent, port, [{"id": "a"}])
    assert shown["trouble"] is None
    assert shown["page"] == {
        "place": "port",
        "address": "192.168.38.225",
        "uplink_page": True,
        "uplink_address": "192.168.7.5",
        "account": "rpi1101",
    }


def test_services_that_are_away_are_null_and_the_trouble() -> None:
    shown = state.state(None, None, None, {}, seen_from=Kind.UPLINK, account="rpi1101")
    assert (shown["agent"], shown["port"], shown["onsites"]) == (None, None, None)
    assert shown["trouble"]["title"] == "The agent does not run"
    assert shown["trouble"]["checks"]
    assert shown["page"]["address"] is None


def test_an_error_is_its_class_its_message_and_what_to_do() -> None:
    told = state.told(Busy("it is taken", "wait"))
    assert told == {"error": {"name": "Busy", "text": "it is taken", "hint": "wait"}}


def test_the_text_is_one_line_of_json_whatever_was_told() -> None:
    odd = {"label": "a\nb\u2028<img onerror>", "far": [math.inf, {"x": math.nan}], "rtt": 1.5}
    text = state.text(odd)
    assert "\n" not in text
    assert json.loads(text, parse_constant=pytest.fail) == {
        "label": "a\nb\u2028<img onerror>",
        "far": [None, {"x": None}],
        "rtt": 1.5,
    }


def _config(web: str = "") -> config.Config:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    rdv = f'[rdv]\nserver = "rdv.example.com"\naccount = "rpi1101"\nhost_key = "{key}"\n'
    return config.parse(rdv + web, "tundev.toml")


def test_the_page_s_process_is_given_no_pin_but_what_proves_one(tmp_path: Path) -> None:
    path, me = tmp_path / "settings.json", (os.getuid(), os.getgid())
    written = settings.of(_config('[web]\npin = "4711-secret"\nuplink = true\n'))
    settings.write(written, path, me)
    assert path.stat().st_mode & 0o777 == 0o400
    assert "secret" not in path.read_text()
    assert settings.load(path) == written
    assert written.pin is not None and written.pin.matches("4711-secret")
    assert (written.account, written.uplink) == ("rpi1101", True)


def test_without_a_table_there_is_no_pin_and_no_page_on_the_lan(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    settings.write(settings.of(_config()), path, (os.getuid(), os.getgid()))
    assert settings.load(path) == PageSettings("rpi1101", uplink=False, pin=None)


def test_a_fault_of_the_configuration_is_the_service_s_to_tell(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    fault = ConfigError("tundev.toml: line 7: pin: expected a string")
    settings.write(fault, path, (os.getuid(), os.getgid()))
    with pytest.raises(ConfigError, match="line 7"):
        settings.load(path)


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"account": "a", "uplink": true, "pin": {"salt": 1}}']
)
def test_what_nobody_wrote_for_the_page_is_not_taken(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "settings.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError):
        settings.load(path)


def test_only_files_of_the_page_can_be_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    with pytest.raises(NotFound):
        load(folder)
    (folder / "index.html").write_text("<!DOCTYPE html>")
    (folder / "notes.txt").write_text("not for anybody")
    (tmp_path / "key.js").write_text("outside")
    found = load(folder)
    assert list(found) == ["index.html"]
    (folder / "index.html").write_text("changed")
    assert load(folder)["index.html"].tag != found["index.html"].tag


def test_a_hash_does_not_show_what_it_is_of() -> None:
    assert PinHash.of("1234").value != PinHash.of("1234").value
