"""Keys as the admin pastes them."""

from __future__ import annotations

import pytest

from rdv.accounts import parse_key
from vtunlib.errors import UsageError

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
