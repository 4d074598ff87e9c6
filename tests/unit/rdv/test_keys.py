"""Keys as the admin pastes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdv import accounts
from rdv.accounts import parse_key
from vtunlib.errors import UsageError
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
        # Nothing that sshd would read as an option, or as a second key, gets into its file.
        f'command="/bin/sh" ssh-ed25519 {DATA}',
        f"ssh-ed25519 {DATA}\nssh-ed25519 {DATA}",
    ],
)
def test_what_is_no_key_is_refused_with_the_form_that_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected|copy"):
        parse_key(text)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sshd looks for the keys."""
    monkeypatch.setattr(accounts, "KEYS", tmp_path / "keys")
    return tmp_path / "keys"


def test_a_shut_account_has_no_key_for_sshd_and_gets_its_own_back(keys: Path) -> None:
    accounts.set_key("rpi1", f"ssh-ed25519 {DATA}")
    line = (keys / "rpi1").read_text()
    for _ in range(2):
        accounts.shut("rpi1")
        assert not (keys / "rpi1").exists()
        assert accounts.key("rpi1") == f"ssh-ed25519 {DATA}"
    for _ in range(2):
        accounts.reopen("rpi1")
        assert (keys / "rpi1").read_text() == line
    assert [path.name for path in keys.iterdir()] == ["rpi1"]


def test_a_key_that_is_set_while_the_account_is_shut_opens_it_only_afterwards(keys: Path) -> None:
    accounts.shut("rpi1")
    assert accounts.key("rpi1") == ""
    accounts.set_key("rpi1", f"ssh-ed25519 {DATA}")
    assert not (keys / "rpi1").exists()
    accounts.reopen("rpi1")
    assert DATA in (keys / "rpi1").read_text()


def test_an_account_without_a_key_is_shut_and_reopened(keys: Path) -> None:
    accounts.shut("rpi1")
    accounts.reopen("rpi1")
    assert not list(keys.iterdir())
    accounts.shut("rpi1")
    accounts.remove_key("rpi1")
    assert not list(keys.iterdir())


def test_a_fingerprint_is_as_ssh_keygen_writes_it(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(f"ssh-ed25519 {DATA} comment\n")
    told = run(["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")]).split()
    assert accounts.fingerprint(f"ssh-ed25519 {DATA}") == told[1]
