"""Keys as the admin pastes them, and the file that says what opens an account."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from rdv.enrolment import keys
from rdv.enrolment.keys import Enrolment, Keys, OneTime, parse_key
from vtunlib.errors import RdvError, UsageError
from vtunlib.run import run

DATA = "AAAAC3NzaC1lZDI1NTE5AAAAIFPyhpCMiTo5eYVSRAtQ9ZxxhGBkXNEHcfTD0Hm5PN0k"


@pytest.mark.parametrize("text", [f"ssh-ed25519 {DATA}", f"  ssh-ed25519   {DATA} rpi1100@boiler room\n"])
def test_a_key_is_taken_without_its_comment(text: str) -> None:
    assert parse_key(text) == f"ssh-ed25519 {DATA}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        DATA,
        f"ssh-rsa {DATA}",
        f"ssh-ed25519 {DATA[:-4]}",
        f"ssh-ed25519 {DATA}AAAA",
        f"ssh-ed25519 {DATA[:-1]}*",
        f"ssh-ed25519 {DATA[:-1]}é",
        # Nothing that sshd would read as an option, or as a second key, gets into its file.
        f'command="/bin/sh" ssh-ed25519 {DATA}',
        f"ssh-ed25519 {DATA}\nssh-ed25519 {DATA}",
    ],
)
def test_what_is_no_key_is_refused_with_the_form_that_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected|copy"):
        parse_key(text)


KEY = f"ssh-ed25519 {DATA}"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"
UNTIL = datetime.datetime(2026, 12, 2, 17, 40, 5, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "opened", [Keys(), Keys(KEY), Keys("", OneTime(OTHER, UNTIL)), Keys(KEY, OneTime(OTHER, UNTIL))]
)
def test_what_is_written_is_read_back(tmp_path: Path, opened: Keys) -> None:
    keys.write("rpi1", opened, tmp_path)
    assert keys.read("rpi1", tmp_path) == opened
    assert [path.name for path in tmp_path.iterdir()] == ["rpi1"]
    assert (tmp_path / "rpi1").stat().st_mode & 0o777 == 0o644


def test_a_one_time_key_s_line_gives_enrolment_alone_and_ends_in_utc() -> None:
    line = keys.text("rpi1", Keys("", OneTime(KEY, UNTIL)))
    assert line == f'restrict,expiry-time="20261202174005Z",command="enrol" {KEY} rpi1\n'


@pytest.mark.parametrize(
    "content",
    [
        KEY,
        f'restrict,command="sh" {KEY} rpi1',
        f'command="shell" {KEY} rpi1',
        f'restrict,command="shell" {KEY} rpi1\nrestrict,command="shell" {OTHER} rpi1',
        f'restrict,command="enrol" {KEY} rpi1',
        f'restrict,expiry-time="20261302174005Z",command="enrol" {KEY} rpi1',
        'restrict,command="shell" ssh-ed25519 AAAA rpi1',
        "\u00e9",
        f'restrict,expiry-time="02261203120000Z",command="enrol" {KEY} rpi1\n',
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "rpi1").write_text(content)
    with pytest.raises(RdvError, match="is not as rdv-admin writes it"):
        keys.read("rpi1", tmp_path)


@pytest.mark.parametrize(
    ("opened", "enrolment"),
    [
        (Keys(), Enrolment.NONE),
        (Keys(KEY), Enrolment.ENROLLED),
        (Keys(KEY, OneTime(OTHER, UNTIL)), Enrolment.ENROLLED),
        (Keys("", OneTime(OTHER, UNTIL + datetime.timedelta(seconds=1))), Enrolment.WAITING),
        (Keys("", OneTime(OTHER, UNTIL)), Enrolment.EXPIRED),
    ],
)
def test_how_far_a_device_is_with_its_key(opened: Keys, enrolment: Enrolment) -> None:
    assert opened.enrolment(UNTIL) is enrolment


def test_a_fingerprint_is_the_one_that_openssh_has(tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_text(f"{KEY} rpi1\n")
    assert keys.fingerprint(KEY) == run(["ssh-keygen", "-l", "-f", str(file)]).split()[1]


def test_a_shut_account_has_no_key_for_sshd_and_gets_its_own_back(tmp_path: Path) -> None:
    keys.write("rpi1", Keys(KEY), tmp_path)
    line = (tmp_path / "rpi1").read_text()
    for _ in range(2):
        keys.shut("rpi1", tmp_path)
        assert not (tmp_path / "rpi1").exists()
        assert keys.read("rpi1", tmp_path) == Keys(KEY)
    for _ in range(2):
        keys.reopen("rpi1", tmp_path)
        assert (tmp_path / "rpi1").read_text() == line
    assert [path.name for path in tmp_path.iterdir()] == ["rpi1"]


def test_a_key_that_is_set_while_the_account_is_shut_opens_it_only_afterwards(tmp_path: Path) -> None:
    keys.shut("rpi1", tmp_path)
    assert keys.read("rpi1", tmp_path) == Keys()
    keys.write("rpi1", Keys(KEY), tmp_path)
    assert not (tmp_path / "rpi1").exists()
    keys.reopen("rpi1", tmp_path)
    assert DATA in (tmp_path / "rpi1").read_text()


def test_an_account_without_a_key_is_shut_and_reopened(tmp_path: Path) -> None:
    keys.shut("rpi1", tmp_path)
    keys.reopen("rpi1", tmp_path)
    assert not list(tmp_path.iterdir())
    keys.shut("rpi1", tmp_path)
    keys.remove("rpi1", tmp_path)
    assert not list(tmp_path.iterdir())
