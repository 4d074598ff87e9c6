"""The key of a repository: a public one, whole, is taken, in whatever form a file came; nothing else is."""

from __future__ import annotations

import pytest

from tests.unit.tundev.test_config import RDV
from tundev import archive_key, config
from tundev.config import Updates
from vtunlib.errors import ConfigError

# ed25519, made by gpg 2.2, to sign nothing with.
KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawd3wRYJKwYBBAHaRw8BAQdABq7EPAJv/+xd8jp+ONkAEi7jnoAGPYVrX/WL
CWi3n+K0D1R1bmRldiBwYWNrYWdlc4iQBBMWCAA4FiEE8Y2bEMbfjLjw1nnmM5iS
922XCQMFAmsHd8ECGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQM5iS922X
CQNYfgEAl8tRJu3m2hxytPqZo952ERKN9ExAAyhGtEb2nndFUT4A/0yMKsCztNr3
pvJTf+f4qQNbDYu171mSp3Fc+Bqf8dAI
=6LAb
-----END PGP PUBLIC KEY BLOCK-----
"""
UPDATES = f"{RDV}[updates]\nurl = 'https://packages.example.com/tundev'\nkey = '''\n{KEY}'''\n"


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        KEY.replace("\n", "\r\n"),
        KEY.replace("-----\n\n", "-----\nComment: of the RDV's admin\n\n"),
        KEY.replace("=6LAb\n", ""),
        f"\n{KEY}\n",
    ],
)
def test_a_key_is_taken_in_any_form(text: str) -> None:
    assert archive_key.parse(text) == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY.replace("PUBLIC", "PRIVATE"),
        KEY.replace("mDME", "lFgE"),  # the packet of a private key
        KEY.replace("CWi3n", "CWi4n"),
        KEY.replace("=6LAb\n", "").replace("mDME", "m*ME"),
        KEY.partition("=6LAb")[0],
        KEY + KEY,
        f"x{KEY}",
    ],
)
def test_what_is_none_or_damaged_is_not_taken(text: str) -> None:
    assert archive_key.parse(text) is None


def test_a_repository_is_flat_or_has_suites() -> None:
    assert config.parse(UPDATES, "tundev.toml").updates == Updates("https://packages.example.com/tundev", KEY)
    found = config.parse(f"{UPDATES}suite = 'stable'\n", "tundev.toml").updates
    assert found is not None and (found.suite, found.component) == ("stable", "main")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (UPDATES.replace("https:", "file:"), "line 6: [updates] url: expected an address"),
        (UPDATES.replace("packages.", "me:secret@packages."), "[updates] url: expected an address"),
        (UPDATES.replace("/tundev'", "/a b'"), "[updates] url: expected an address"),
        (UPDATES.replace("PUBLIC", "PRIVATE"), "[updates] key: expected the repository's public key"),
        (f"{UPDATES}suite = 'a b'\n", "[updates] suite: expected a suite"),
        (f"{UPDATES}component = 'main'\n", "[updates] component: needs a suite beside it"),
        (UPDATES.partition("key = '")[0], "[updates]: key is missing"),
    ],
)
def test_a_fault_of_it_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.parse(text, "tundev.toml")
    assert told in str(raised.value)
    assert "secret" not in str(raised.value)
