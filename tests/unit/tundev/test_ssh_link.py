"""What ssh says when it fails, as errors with what to do; and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tundev.config_values import Server
from tundev.ssh_link import Endpoint, arguments, classify
from vtunlib.errors import AuthenticationRefused, HostKeyMismatch, RdvUnreachable

ENDPOINT = Endpoint(Server("rdv.example.com"), "203.0.113.10", "rpi1100", "ssh-ed25519 AAAA")
LOST = RdvUnreachable("the RDV server closed the connection")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Host key verification failed.", HostKeyMismatch),
        ("No ED25519 host key is known for rdv and you have requested strict checking.", HostKeyMismatch),
        ("rpi1100@203.0.113.10: Permission denied (publickey).", AuthenticationRefused),
        ("ssh: connect to host 203.0.113.10 port 2222: Connection refused", RdvUnreachable),
    ],
)
def test_ssh_s_words_become_errors(said: str, kind: type[Exception]) -> None:
    error = classify([said], ENDPOINT, LOST)
    assert type(error) is kind
    assert error.hint or "refused" in error.message


def test_what_the_server_said_is_kept_where_ssh_says_nothing() -> None:
    assert classify([], ENDPOINT, LOST) is LOST


def test_the_relays_word_counts_more_than_what_ssh_says_after_it() -> None:
    said = ["tls-relay: 203.0.113.10:443 does not answer", "Connection closed by UNKNOWN port 65535"]
    assert classify(said, ENDPOINT, LOST).message == "rdv.example.com: 203.0.113.10:443 does not answer"


def test_what_an_interceptor_calls_itself_is_no_verdict_of_ssh() -> None:
    said = ["tls-relay: the certificate was issued by 'CN=Permission denied, Host key verification failed'"]
    assert type(classify(said, ENDPOINT, LOST)) is RdvUnreachable


def test_no_host_key_is_ever_trusted_on_first_use() -> None:
    words = arguments(ENDPOINT, control=Path("/c"), known_hosts=Path("/k"), key=Path("/i"))
    assert "StrictHostKeyChecking=yes" in words
    assert "UserKnownHostsFile=/k" in words
    assert "GlobalKnownHostsFile=/dev/null" in words
    assert words[:2] == ["-F", "none"]
    assert words[-2:] == ["--", "203.0.113.10"]
