"""What people and their computers leave on a card: it is taken, or told of by name, line and reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.test_architecture import ROOT
from tests.unit.tundev.firstboot.conftest import PIN, RDV, on_card, put
from tundev import config
from tundev.firstboot.boot_partition import BUNDLE, ENTRIES_LIMIT, SIZE_LIMIT
from tundev.firstboot.secret_values import KEPT
from tundev.firstboot.service import take_over
from tundev.firstboot.taking_over import Found, Places, Step, look, plan, steps
from vtunlib.errors import ConfigError
from vtunlib.run import run

RTF = rb"{\rtf1\ansi\deff0 {\fonttbl {\f0 Calibri;}}" + b"\r\n"
APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(4000)
"""What macOS puts beside each file that it copies to FAT, called `._` and its name."""
TRICKY = (
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "'''",
    '"""',
    "\n",
    "\r",
    "=",
    ".",
    "#",
    ",",
    "\\",
    "\0",
    "“",
    "\ud7ff",
)
WORDS = (
    "pin = ",
    "[web]\n",
    "[[web]]\n",
    "web.pin = ",
    f'"{KEPT}"',
    "9" * 5000,
    "[" * 3000,
    "a." * 300,
    "=1\n",
)


# what is not taken


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("account", "acount"), "tundev.toml, line 3: [rdv] acount: is unknown"),
        (lambda text: text.replace("[rdv]", "[rdv"), "tundev.toml: not TOML"),
        (lambda text: text.replace(PIN, "1"), "[web] pin: expected a string of 4 to 64"),
        (lambda text: text.encode("utf-16"), "saved as UTF-16"),
        (lambda text: text.encode("utf-16-le"), "saved as UTF-16"),
        (lambda text: text.encode("utf-16-be"), "saved as UTF-16"),
        (lambda text: text.encode() + b"# \xe9\n", "not UTF-8"),
        (lambda text: text + "#" * 70000, "longer than 65536 bytes"),
        (lambda text: RTF + text.encode(), "line 1: a word processor's document"),
        (lambda text: b"PK\x03\x04\0\0" + text.encode(), "line 1: a word processor's document"),
        (lambda text: text.replace('"rpi1100"', "“rpi1100”"), "line 3 has typographic quotes"),
        (lambda text: text.replace('"rpi1100"', '"rpi1100”'), "line 3 has typographic quotes"),
        (lambda text: text + f"[onsite]\nlocation = {'[' * 5000}\n", "line 19: nested too deeply"),
        (lambda text: text + "[master]\ngrace = " + "1" * 5000, "line 19: a number of too many digits"),
        (lambda text: text + "a." * 30000 + "a = 1\n", "line 18: more than 500 dots"),
        (
            lambda text: f"web = {{ pin = '{PIN}' }}\n" + text.partition("[web]")[0],
            "tundev.toml, line 1: [web] pin: expected it on a line of its own, below [web]",
        ),
    ],
)
def test_a_bad_file_is_told_of_and_changes_nothing(
    places: Places, bundle: str, change: Callable[[str], str | bytes], told: str
) -> None:
    put(places, change(bundle))
    before = places.boot.bundle.read_bytes()
    assert told in str(take_over(places).fault)
    assert not list(places.config.parent.iterdir()) and places.boot.bundle.read_bytes() == before
    # A good one is taken at the next boot.
    put(places, bundle)
    assert take_over(places).fault is None
    # A bad one after it leaves that.
    good = places.config.read_bytes()
    put(places, change(bundle))
    assert told in str(take_over(places).fault)
    assert places.config.read_bytes() == good


@pytest.mark.parametrize(
    ("card", "told", "was"),
    [
        (b"", "tundev.toml: it is empty; copy it again", "empty"),
        (bytes(2000), "tundev.toml, line 1: zeros in place of text; copy it again", "damaged"),
        (RDV.encode() + bytes(512), "tundev.toml, line 5: zeros in place of text", "damaged"),
        (RDV.replace("rpi1100", "rpi\x001100").encode(), "tundev.toml, line 3: zeros", "damaged"),
    ],
)
def test_a_file_that_was_not_copied_to_its_end_is_told_of(
    places: Places, bundle: str, card: bytes, told: str, was: str
) -> None:
    put(places, card)
    assert str(take_over(places).fault).startswith(told)
    put(places, bundle)
    assert take_over(places).fault is None
    # With one that was taken before, that one is put back, and who copied the other is told.
    taken = on_card(places)
    put(places, card)
    assert take_over(places).damaged == was
    assert on_card(places) == taken
    assert take_over(places).damaged is None


def test_what_was_damaged_is_told_again_when_the_power_was_cut_before_anybody_read_it(
    places: Places, bundle: str
) -> None:
    put(places, bundle)
    take_over(places)
    put(places, b"")
    made = plan(look(places))
    places.boot.replace(places.boot.bundle, made.copy[:100] + bytes(100))
    assert take_over(places).damaged == "damaged"


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("cut", [b"", bytes(700), b"[rdv]" + bytes(700), None])
def test_a_power_cut_of_our_own_writing_is_no_damage(
    places: Places, bundle: str, cut: bytes | None, again: bool
) -> None:
    """Also where the bundle was copied once more, over the card that was tidied."""
    put(places, bundle)
    if again:
        take_over(places)
        put(places, bundle)
    for step in steps(plan(look(places)), places):
        if step is Step.BLANK:
            break
    places.boot.bundle.unlink() if cut is None else put(places, cut)
    outcome = take_over(places)
    assert (outcome.damaged, outcome.fault, outcome.untidied) == (None, None, None)
    assert KEPT in on_card(places)
    assert plan(look(places)).steps == ()


def test_a_deleted_file_is_put_back_without_a_word(places: Places, bundle: str) -> None:
    put(places, bundle)
    take_over(places)
    places.boot.bundle.unlink()
    outcome = take_over(places)
    assert (outcome.damaged, outcome.fault) == (None, None)
    assert KEPT in on_card(places)


# whatever is in it


def damaged_bundles(bundle: str) -> st.SearchStrategy[bytes]:
    """The bundle with pieces of it replaced by what means something to TOML, or by anything."""
    pieces = st.one_of(st.sampled_from(TRICKY + WORDS), st.text(max_size=8))
    places = st.tuples(st.integers(0, len(bundle)), st.integers(0, 30), pieces)

    def spoiled(changes: list[tuple[int, int, str]]) -> bytes:
        text = bundle
        for start, length, piece in changes:
            text = text[:start] + piece + text[start + length :]
        return text.encode("utf-8", "surrogatepass")

    return st.lists(places, min_size=1, max_size=4).map(spoiled) | st.binary(max_size=300)


def taken_or_told(found: Found) -> None:
    try:
        made = plan(found)
    except ConfigError as error:
        assert "\n" not in str(error) and str(error).startswith(BUNDLE)
    else:
        assert made.steps


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_file_holds_it_is_taken_or_told_of(bundle: str, data: st.DataObject) -> None:
    card = data.draw(damaged_bundles(bundle))
    taken_or_told(Found(card))
    taken_or_told(Found(card, bundle.encode(), RDV.encode(), "0" * 64))


@pytest.mark.parametrize("opening", ["[", "{a=", "[{a="])
def test_however_deeply_it_is_nested_it_is_told_of(bundle: str, opening: str) -> None:
    """Python's own limit is met in the parser, or a little later."""
    changed = bundle.replace(f"'{PIN}'", f"'{KEPT}'")
    for depth in range(100, 700, 2):
        text = f"{changed}\n[onsite]\nlocation = {opening * depth}1"
        closing = {"[": "]", "{": "}"}
        ends = "".join(closing[c] for c in reversed(opening * depth) if c in closing)
        with pytest.raises(ConfigError):
            plan(Found(f"{text}{ends}\n".encode(), bundle.encode(), RDV.encode(), "0" * 64))


def test_the_longest_file_is_taken_before_its_unit_s_deadline() -> None:
    """Its values that are asked for last stand behind others of their name, and a great many lines."""
    text = f"{RDV}[uplink.modem]\napn = 'internet'\npin = '1234'\n[web]\npin = '{PIN}'\n"
    text += "\n" * (SIZE_LIMIT - len(text))
    script = "import sys; from tundev.firstboot.taking_over import *\n"
    script += "print(len(plan(Found(sys.stdin.buffer.read())).copy))\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=text.encode(),
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,  # TimeoutStartSec= of tundev-firstboot.service
    )
    assert int(done.stdout) > SIZE_LIMIT


# what is no fault of the file


def test_a_card_that_cannot_be_written_is_told_of_and_the_device_goes_on(places: Places, bundle: str) -> None:
    put(places, bundle)
    made = plan(look(places))
    for step in steps(made, places):
        if step is Step.SOURCE:
            break
    # As a card that takes no more data: even root may not change the file.
    run(["chattr", "+i", str(places.boot.bundle)])
    try:
        assert take_over(places).untidied == "Operation not permitted"
    finally:
        run(["chattr", "-i", str(places.boot.bundle)])
    assert config.load(places.config).rdv.enrol_key is not None
    assert take_over(places).untidied is None


def test_a_data_partition_that_takes_nothing_is_no_fault_of_the_file(places: Places, bundle: str) -> None:
    put(places, bundle)
    run(["chattr", "+i", str(places.config.parent)])
    try:
        outcome = take_over(places)
    finally:
        run(["chattr", "-i", str(places.config.parent)])
    assert (outcome.hindered, outcome.fault) == ("Operation not permitted", None)
    assert take_over(places).hindered is None


def test_a_file_that_cannot_be_read_is_told_of(places: Places) -> None:
    places.boot.bundle.symlink_to(places.boot.bundle)  # an error in reading, as of a bad sector
    outcome = take_over(places)
    assert outcome.fault is None and "symbolic links" in str(outcome.hindered)


def test_a_folder_in_the_file_s_place_is_told_of(places: Places, bundle: str) -> None:
    places.boot.bundle.mkdir()
    (places.boot.bundle / "rpi1100.toml").write_text(bundle)
    assert take_over(places).fault == "tundev.toml: it is a folder; copy the file that is in it"


# other files


@pytest.mark.parametrize(
    "name",
    [
        "tundev.toml.txt",
        "tundev.toml.toml",
        "tundev.tom",
        "rpi1100.toml",
        "RPI1100.TOML",
        "tundev (1).toml",
        "tundev - Copy.toml",
        "tundev",
        "TUNDEV.TXT",
    ],
)
def test_a_bundle_of_another_name_is_told_of_by_its_name(places: Places, bundle: str, name: str) -> None:
    (places.boot.where / name).write_text(bundle)
    (places.boot.where / f"._{name}").write_bytes(APPLE_DOUBLE)
    (places.boot.where / "tundev-status.txt").write_text("The file [rdv] tundev.toml\n")
    (places.boot.where / "network.toml").write_text("[network]\npassword = 'other'\n")
    (places.boot.where / "tundev").mkdir(exist_ok=True) if name != "tundev" else None
    outcome = take_over(places)
    assert (outcome.misnamed, outcome.exposed, outcome.fault) == (name, None, None)
    (places.boot.where / name).rename(places.boot.bundle)
    outcome = take_over(places)
    assert (outcome.misnamed, outcome.exposed) == (None, None)
    assert places.config.exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_what_keeps_a_secret_beside_the_file_is_told_of_and_left(
    places: Places, bundle: str, encoding: str
) -> None:
    put(places, bundle)
    take_over(places)
    kept = {
        "tundev.toml.txt": bundle,
        "tundev.toml~": bundle,
        "rpi1100.toml": RDV + f"[web]\npin = '{PIN}'\n",
        "notes.txt": f"of [rdv]: # psk = 'old'\n{'x' * 1000}",
        "FSCK0000.REC": bundle + "\0" * 1000,
    }
    harmless = {"tundev.toml.bak": on_card(places), "cmdline.txt": "pin = 'x'", "server.toml": RDV}
    for name, text in {**kept, **harmless}.items():
        (places.boot.where / name).write_bytes(text.encode(encoding))
    (places.boot.where / "bundles").mkdir()
    (places.boot.where / "backup.toml").write_bytes(bundle.encode() + b"#" * SIZE_LIMIT)  # no bundle's size
    assert take_over(places).exposed == "FSCK0000.REC, notes.txt, rpi1100.toml, tundev.toml.txt, tundev.toml~"
    for name, text in kept.items():
        assert (places.boot.where / name).read_bytes() == text.encode(encoding)
        (places.boot.where / name).unlink()
    assert take_over(places).exposed is None


def test_a_new_bundle_under_another_name_is_told_of_where_the_former_was_deleted(
    places: Places, bundle: str
) -> None:
    put(places, bundle)
    take_over(places)
    places.boot.bundle.unlink()
    (places.boot.where / "rpi1200.toml").write_text(bundle)
    assert take_over(places).misnamed == "rpi1200.toml"
    # The former one is there again, so at the next boot the other only keeps secrets.
    outcome = take_over(places)
    assert (outcome.misnamed, outcome.exposed) == (None, "rpi1200.toml")


def test_neither_names_nor_their_number_reach_a_screen_as_they_are(places: Places, bundle: str) -> None:
    for number in range(8):
        (places.boot.where / f"\x1b[2J{number}{'x' * 200}.toml").write_text(bundle)
    told = str(take_over(places).misnamed)
    assert told.isprintable() and len(told) < 500 and told.endswith(", 3 more")
    for number in range(ENTRIES_LIMIT * 2):
        (places.boot.where / f"{number}.dtb").touch()
    assert len(places.boot.others()) <= ENTRIES_LIMIT


def test_on_fat_the_file_is_not_taken_for_another_because_of_its_capitals(
    places: Places, bundle: str
) -> None:
    """FAT finds it by either name; a second link to it is what a folder has for that."""
    put(places, bundle)
    os.link(places.boot.bundle, places.boot.where / BUNDLE.upper())
    assert places.boot.others() == {}


def test_without_a_boot_partition_nothing_is_found(places: Places) -> None:
    Path(places.boot.where).rmdir()
    outcome = take_over(places)
    assert (outcome.misnamed, outcome.exposed, outcome.hindered) == (None, None, None)
