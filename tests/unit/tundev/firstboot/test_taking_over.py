"""A device's card: its file is taken over, whenever the power goes, and its secrets leave it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.test_architecture import ROOT
from tests.unit.tundev.firstboot.conftest import PIN, RDV, on_card, put
from tundev import config, settings
from tundev.enrolment import without_enrol_key
from tundev.firstboot import secret_values
from tundev.firstboot.boot_partition import BUNDLE
from tundev.firstboot.secret_values import HEADER, KEPT
from tundev.firstboot.service import take_over
from tundev.firstboot.taking_over import Places, Step, look, plan, steps


def tidy(places: Places, text: str, private: str) -> None:
    """All of the bundle is on the device, nothing secret on the card, and nothing is left to do."""
    assert tomllib.loads(places.config.read_text()) == tomllib.loads(text)
    assert places.config.stat().st_mode & 0o777 == 0o640
    assert places.key.exists() and settings.public_key(places.key).exists()
    card = on_card(places)
    assert card.startswith(HEADER) and card.count(KEPT) == 3 + HEADER.count(KEPT)
    for secret in (private.splitlines()[1], PIN, "S3cret"):
        assert secret not in card
    assert [path.name for path in places.boot.where.iterdir()] == ["tundev.toml"]
    assert plan(look(places)).steps == ()


# taking over


def test_a_bundle_is_taken_over_and_its_secrets_leave_the_card(
    places: Places, bundle: str, private: str
) -> None:
    put(places, bundle)
    outcome = take_over(places)
    assert (outcome.fault, outcome.untidied) == (None, None)
    tidy(places, bundle, private)
    # What is no secret stays where it was, comments and all.
    assert '[web] # the page\npin = "(kept on the device)"\n' in on_card(places)
    assert 'account = "rpi1100"\n' in on_card(places)


@pytest.mark.parametrize("cut", range(8))
def test_a_power_cut_between_two_steps_is_made_good_by_the_next_boot(
    places: Places, bundle: str, private: str, cut: int
) -> None:
    put(places, bundle)
    made = plan(look(places))
    assert made.steps == tuple(Step)
    for _, _step in zip(range(cut), steps(made, places), strict=False):
        pass
    assert take_over(places).fault is None
    tidy(places, bundle, private)


@pytest.mark.parametrize("torn", [1, 100, 512, 1000])
@pytest.mark.parametrize("from_the_end", [False, True])
def test_a_power_cut_while_the_card_is_blanked_is_made_good(
    places: Places, bundle: str, private: str, torn: int, from_the_end: bool
) -> None:
    put(places, bundle)
    for step in steps(plan(look(places)), places):
        if step is Step.SOURCE:
            break
    data = bundle.encode()
    put(places, data[:-torn] + bytes(torn) if from_the_end else bytes(torn) + data[torn:])
    assert take_over(places).fault is None
    tidy(places, bundle, private)


@pytest.mark.parametrize("gone", [Path.unlink, lambda file: file.write_bytes(b"")])
def test_a_power_cut_that_loses_the_cards_file_costs_nothing(
    places: Places, bundle: str, private: str, gone: Callable[[Path], object]
) -> None:
    put(places, bundle)
    for step in steps(plan(look(places)), places):
        if step is Step.BLANK:
            break
    gone(places.boot.bundle)
    assert take_over(places).fault is None
    tidy(places, bundle, private)


@pytest.mark.parametrize("former", [0, 100, 5000])
def test_a_file_of_the_card_is_written_where_it_lies(places: Places, former: int) -> None:
    """On FAT another file in its place is more than one change of the card, and none of them waits."""
    put(places, b"x" * former)
    before = places.boot.bundle.stat().st_ino
    places.boot.replace(places.boot.bundle, b"new" * 100)
    assert places.boot.bundle.read_bytes() == b"new" * 100
    assert places.boot.bundle.stat().st_ino == before
    assert list(places.boot.where.iterdir()) == [places.boot.bundle]


def test_killed_at_any_write_the_next_boot_ends_as_if_nothing_had_been(
    places: Places, bundle: str, private: str, tmp_path: Path
) -> None:
    """The real service's work in a process of its own, killed at its 1st, 2nd, ... change of a file."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from tundev.firstboot.taking_over import *\n"
        "from tundev.firstboot.boot_partition import BootPartition\n"
        "etc = Path(sys.argv[1], 'etc')\n"
        "boot = BootPartition(Path(sys.argv[1], 'boot'))\n"
        "places = Places(boot, os.getegid(), etc / 'tundev.toml', etc / 'id_ed25519')\n"
        "made = plan(look(places))\n"
        "for step in steps(made, places): pass\n"
    )
    argv = [sys.executable, "-c", script, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    killed = 0
    for call in ("write", "rename", "fsync", "ftruncate"):
        for number in range(1, 100):
            for file in [*places.boot.where.iterdir(), *places.config.parent.iterdir()]:
                file.unlink()
            put(places, bundle)
            kill = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
            kill += ["-e", f"inject={call}:signal=KILL:when={number}"]
            done = subprocess.run([*kill, *argv], env=environment, check=False, capture_output=True)
            subprocess.run(argv, env=environment, check=True)
            tidy(places, bundle, private)
            if done.returncode == 0:
                break  # it makes no more such calls
            killed += 1
    assert killed > 20


# a later boot


def test_the_same_card_again_changes_nothing(places: Places, bundle: str) -> None:
    put(places, bundle)
    take_over(places)
    before = {path: path.stat().st_mtime_ns for path in places.config.parent.iterdir()}
    assert take_over(places).fault is None
    assert {path: path.stat().st_mtime_ns for path in places.config.parent.iterdir()} == before


def test_a_changed_card_is_taken_over_and_what_was_kept_stays(
    places: Places, bundle: str, private: str
) -> None:
    put(places, bundle)
    take_over(places)
    put(places, on_card(places).replace("rdv.example.com", "rdv2.example.com"))
    assert take_over(places).fault is None
    tidy(places, bundle.replace("rdv.example.com", "rdv2.example.com"), private)


def test_a_new_secret_takes_the_place_of_the_kept_one(places: Places, bundle: str) -> None:
    put(places, bundle)
    take_over(places)
    put(places, on_card(places).replace(f'pin = "{KEPT}"', 'pin = "new pin"'))
    take_over(places)
    found = config.load(places.config)
    assert found.web is not None and found.web.pin == "new pin"
    assert found.rdv.proxy is not None and found.rdv.proxy.password == "S3cret"
    assert "new pin" not in on_card(places)


def test_a_used_one_time_key_does_not_come_back(places: Places, bundle: str) -> None:
    put(places, bundle)
    take_over(places)
    places.config.write_text(without_enrol_key(places.config.read_text()))
    put(places, on_card(places).replace("rdv.example.com", "rdv2.example.com"))
    assert take_over(places).fault is None
    assert config.load(places.config).rdv.enrol_key is None


def test_with_the_data_gone_the_card_brings_the_device_back_but_for_its_secrets(
    places: Places, bundle: str
) -> None:
    put(places, bundle)
    take_over(places)
    for file in places.config.parent.iterdir():
        file.unlink()
    assert take_over(places).fault == (
        "tundev.toml, line 8: [rdv] proxy: the device does not have it; write it anew"
    )
    put(places, f"{RDV}enrol_key = '{KEPT}'\n")
    assert take_over(places).fault is None
    assert config.load(places.config).rdv.enrol_key is None


def test_what_windows_makes_of_a_text_is_taken(places: Places, bundle: str) -> None:
    put(places, b"\xef\xbb\xbf" + bundle.replace("\n", "\r\n").encode())
    assert take_over(places).fault is None
    assert config.load(places.config).rdv.account == "rpi1100"
    assert b"\n" not in places.boot.bundle.read_bytes().replace(b"\r\n", b"")


# the texts


def test_a_proxy_without_a_password_is_no_secret() -> None:
    text = RDV + 'proxy = "http://10.0.0.1:3128"\n'
    assert secret_values.erased(text, BUNDLE) == HEADER + text


def test_erasing_twice_changes_nothing(bundle: str) -> None:
    once = secret_values.erased(bundle, BUNDLE)
    assert secret_values.erased(once, BUNDLE) == once
