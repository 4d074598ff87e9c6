"""Enrolment on the device: what is said to the RDV, what its answers become, what is erased afterwards."""

from __future__ import annotations

import asyncio
import socket
import threading
import tomllib
from pathlib import Path

import pytest

from tests.lab.customer import make_key
from tundev import config, enrolment
from tundev.config_values import Server
from tundev.enrolment import OneTimeKey, erase, hand_over, without_enrol_key
from tundev.ssh_link import Endpoint
from vtunlib.errors import (
    AuthenticationRefused,
    ConfigError,
    NotAllowed,
    NotFound,
    ProtocolError,
    RdvError,
)

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"
RDV = f'[rdv]\nserver = "rdv.example.com"\naccount = "rpi1100"\nhost_key = "{HOST_KEY}"\n'
ENDPOINT = Endpoint(Server("rdv.example.com"), "203.0.113.10", "rpi1100", HOST_KEY)
REFUSAL = AuthenticationRefused("not with this device's key")


@pytest.fixture
def private(tmp_path: Path) -> str:
    make_key(tmp_path / "one-time")
    return (tmp_path / "one-time").read_text()


# the configuration


def test_the_key_that_a_bundle_holds_is_taken(private: str) -> None:
    parsed = config.parse(f"{RDV}enrol_key = '''\n{private}'''\n", "tundev.toml")
    assert parsed.rdv.enrol_key == private


@pytest.mark.parametrize(
    "change", [lambda key: key[:200], lambda key: key.replace("OPENSSH", "RSA"), str.lower]
)
def test_a_damaged_key_is_refused_and_not_repeated(private: str, change: object) -> None:
    assert callable(change)
    damaged = change(private)
    with pytest.raises(ConfigError, match=r"line 5: .rdv. enrol_key: expected the private key") as raised:
        config.parse(f"{RDV}enrol_key = '''\n{damaged}'''\n", "tundev.toml")
    assert private.splitlines()[1][:20].lower() not in str(raised.value).lower()


def test_a_key_with_a_passphrase_is_refused(tmp_path: Path) -> None:
    from vtunlib.run import run

    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(tmp_path / "key")])
    locked = (tmp_path / "key").read_text()
    with pytest.raises(ConfigError, match="enrol_key"):
        config.parse(f"{RDV}enrol_key = '''\n{locked}'''\n", "tundev.toml")


# erasing

FORMS = {
    "last": ("[rdv] # c\na = 1\n", "enrol_key = '''\nBEGIN\nx = 1\nEND\n'''\n", ""),
    "in-the-middle": (
        "# first\n[rdv]\n",
        "  enrol_key   =  '''\nBEGIN\n[onsite]\n'''  # once\n",
        "a = 1\n\n[onsite]\n",
    ),
    "of-one-line": ("[rdv]\na = 1\n", 'enrol_key = "BEGIN\\nEND"\n', "# last"),
    "of-basic-strings": ("[rdv]\n", 'enrol_key = """\nBEGIN\nEND"""\n', "[onsite]\n"),
    "quoted": ("[rdv]\n", "\"enrol_key\" = ''\n", "b = 2"),
    "dotted": ("", "rdv.enrol_key = 'BEGIN'\n", "rdv.a = 1\n"),
    "with-carriage-returns": ("[rdv]\r\na = 1\r\n", "enrol_key = '''\r\nBEGIN\r\nEND'''\r\n", "b = 2\r\n"),
    "without-an-end-of-line": ("[rdv]\na = 'é\u2028'\n", "enrol_key = 'BEGIN'", ""),
    "beside-one-like-it": (
        "[x]\nenrol_key = 'not this'\n[rdv]\n",
        "enrol_key = 'this'\n",
        "[y]\nenrol_key = 1\n",
    ),
    "named-in-a-text": ("[rdv]\na = '''\nenrol_key = 1\n'''\n", "enrol_key = 'this'\n", "b = 2\n"),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_only_the_key_s_lines_go(form: str) -> None:
    before, key, after = FORMS[form]
    assert without_enrol_key(before + key + after) == before + after


def test_a_file_without_the_key_stays_as_it_is() -> None:
    assert without_enrol_key(RDV) == RDV


def test_a_key_whose_lines_cannot_be_told_stays_and_is_told_of() -> None:
    with pytest.raises(ConfigError, match=r"tundev.toml, line 1: \[rdv\] enrol_key: expected it on a line"):
        without_enrol_key("rdv = { a = 1, enrol_key = 'x' }\n")


def test_mode_and_owner_stay(tmp_path: Path, private: str) -> None:
    file = tmp_path / "tundev.toml"
    file.write_text(f"{RDV}enrol_key = '''\n{private}'''\n")
    file.chmod(0o640)
    erase(file)
    assert file.read_text() == RDV
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one-time", "one-time.pub", "tundev.toml"]


# the conversation


async def handed(answer: bytes) -> bytes:
    """What the server is told by a device that it answers so; it hangs up then."""
    ours, theirs = socket.socketpair()
    said: list[bytes] = []

    def serve() -> None:
        with theirs:
            said.append(theirs.recv(4096))
            theirs.sendall(answer)

    server = threading.Thread(target=serve)
    server.start()
    try:
        with ours:
            await hand_over(ours, f"{HOST_KEY} rpi\n")
    finally:
        server.join(10)
    return said[0]


def test_it_says_one_line() -> None:
    assert asyncio.run(handed(b"enrolled\n")) == f"{HOST_KEY} rpi\n".encode()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", RdvError),
        (b"enrol", RdvError),
        (b"*** NotAllowed: the one-time key of rpi1100 has expired\n", NotAllowed),
        (b"welcome\x1b[2J\n", ProtocolError),
        (b"x" * 5000, RdvError),
    ],
)
def test_what_the_rdv_answers_becomes_its_error(answer: bytes, kind: type[RdvError]) -> None:
    with pytest.raises(RdvError) as raised:
        asyncio.run(handed(answer))
    assert type(raised.value) is kind
    assert str(raised.value).isprintable()


# the whole, with a program in the place of ssh


def one_time_key(tmp_path: Path, private: str | None, script: str) -> OneTimeKey:
    (tmp_path / "ssh").mkdir()
    make_key(tmp_path / "id_ed25519")
    (tmp_path / "tundev.toml").write_text(f"{RDV}enrol_key = '''\n{private}'''\n")
    program = tmp_path / "fake-ssh"
    # It finds the key as ssh does, by its option, and says what it got beside it.
    program.write_text(
        "#!/bin/sh\nfor word; do case $word in IdentityFile=*) key=${word#*=};; esac; done\n"
        f"cat \"$key\" >'{tmp_path}/seen'; stat -c %a \"$key\" >'{tmp_path}/mode'\n{script}\n"
    )
    program.chmod(0o755)
    return OneTimeKey(
        private,
        program=[str(program)],
        user=None,
        run=tmp_path,
        key=tmp_path / "id_ed25519",
        config=tmp_path / "tundev.toml",
    )


def test_the_one_time_key_is_ssh_s_for_the_login_and_gone_afterwards(tmp_path: Path, private: str) -> None:
    script = f"read -r line; echo \"$line\" >'{tmp_path}/said'; echo enrolled"
    key = one_time_key(tmp_path, private, script)
    asyncio.run(key.enrol(ENDPOINT, REFUSAL))
    assert (tmp_path / "seen").read_text() == private
    assert (tmp_path / "mode").read_text() == "600\n"
    assert (tmp_path / "said").read_text() == (tmp_path / "id_ed25519.pub").read_text()
    assert not (tmp_path / "enrol_key").exists()


def test_a_refused_one_time_key_says_what_to_ask_for(tmp_path: Path, private: str) -> None:
    key = one_time_key(tmp_path, private, "echo 'Permission denied (publickey).' >&2; exit 255")
    with pytest.raises(AuthenticationRefused, match=r"used, replaced or has expired; .*re-enrol rpi1100"):
        asyncio.run(key.enrol(ENDPOINT, REFUSAL))
    assert not (tmp_path / "enrol_key").exists()


def test_without_a_one_time_key_the_refusal_stands(tmp_path: Path) -> None:
    key = one_time_key(tmp_path, None, "exit 1")
    with pytest.raises(AuthenticationRefused, match="not with this device's key"):
        asyncio.run(key.enrol(ENDPOINT, REFUSAL))
    assert not (tmp_path / "seen").exists()


def test_a_public_key_that_is_gone_is_told_and_nothing_is_used_up(tmp_path: Path, private: str) -> None:
    key = one_time_key(tmp_path, private, "exit 1")
    (tmp_path / "id_ed25519.pub").unlink()
    with pytest.raises(NotFound, match=r"there is no .*id_ed25519\.pub.*; delete .*/id_ed25519 too"):
        asyncio.run(key.enrol(ENDPOINT, REFUSAL))
    assert not (tmp_path / "seen").exists()


def test_once_its_own_key_has_worked_the_one_time_key_is_erased_and_not_used_again(
    tmp_path: Path, private: str
) -> None:
    key = one_time_key(tmp_path, private, "exit 1")

    async def connected() -> None:
        await key.used()
        with pytest.raises(AuthenticationRefused, match="not with this device's key"):
            await key.enrol(ENDPOINT, REFUSAL)

    asyncio.run(connected())
    assert tomllib.loads((tmp_path / "tundev.toml").read_text()) == tomllib.loads(RDV)


def test_not_to_be_able_to_erase_it_is_told_and_no_more(
    tmp_path: Path, private: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = one_time_key(tmp_path, private, "exit 1")
    (tmp_path / "tundev.toml").unlink()
    asyncio.run(key.used())
    assert "enrol_key is of no use any more, but stays" in caplog.text
    assert private.splitlines()[1] not in caplog.text


def test_the_deadline_is_longer_than_ssh_s_own() -> None:
    from tundev import ssh_link

    assert enrolment.ANSWER_SECONDS > ssh_link.CONNECT_SECONDS
