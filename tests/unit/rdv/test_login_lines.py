"""sshd's and stunnel's log lines: what is taken from them, and what a stranger cannot put into them."""

from __future__ import annotations

import pytest

from rdv.logins.login_lines import Accepted, Line, Refused, Stranger, TlsCame, TlsWentOn, of_sshd, of_stunnel

KEY = "SHA256:CEPTrbn+nbCiTUTkvCr2a7tyrk3L5bCq0YZw8LC1iAg"
TAIL = f"ssh2: ED25519 {KEY}"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            f"Accepted publickey for rpi1100 from 203.0.113.21 port 40112 {TAIL}",
            Accepted(7, "rpi1100", "203.0.113.21", 40112, KEY),
        ),
        (
            f"Accepted publickey for rpi1100 from 2001:DB8::1 port 40112 {TAIL}",
            Accepted(7, "rpi1100", "2001:db8::1", 40112, KEY),
        ),
        (
            f"Accepted publickey for rpi1100 from fe80::1%eth0 port 40112 {TAIL}",
            Accepted(7, "rpi1100", "fe80::1", 40112, KEY),
        ),
        (
            f"Accepted publickey for rpi1100 from ::ffff:203.0.113.21 port 1 {TAIL}",
            Accepted(7, "rpi1100", "203.0.113.21", 1, KEY),
        ),
        (
            f"Failed publickey for rpi1100 from 203.0.113.21 port 40112 {TAIL}",
            Refused("rpi1100", "203.0.113.21", 40112, KEY),
        ),
        (
            "Invalid user rpi1100 from 203.0.113.21 port 40112",
            Refused("rpi1100", "203.0.113.21", 40112, ""),
        ),
        # The line before told of it.
        (f"Failed publickey for invalid user rpi1100 from 203.0.113.21 port 40112 {TAIL}", None),
        ("Invalid user ADMIN from 203.0.113.66 port 50000", Stranger()),
        ("Failed password for rpi1100 from 203.0.113.66 port 50000 ssh2", Stranger()),
        ("User root from 203.0.113.66 not allowed because not listed in AllowUsers", Stranger()),
        ("Server listening on 0.0.0.0 port 2222.", None),
        ('Connection from 203.0.113.21 port 40112 on 203.0.113.10 port 2222 rdomain ""', None),
    ],
)
def test_what_sshd_tells(message: str, line: Line | None) -> None:
    assert of_sshd(message, 7) == line


@pytest.mark.parametrize(
    "name",
    [
        f"rpi1100 from 192.0.2.1 port 1 {TAIL}",
        "rpi1100 from 192.0.2.1 port 1 ssh2: ED25519",
        f"x\nAccepted publickey for rpi1100 from 192.0.2.1 port 1 {TAIL}",
        "RPI1100",
        "rpi1100 ",
        "",
        "a" * 100,
    ],
)
def test_a_name_that_a_stranger_chose_makes_no_line_of_a_device(name: str) -> None:
    assert of_sshd(f"Failed publickey for {name} from 203.0.113.66 port 2 {TAIL}", 7) == Stranger()
    assert of_sshd(f"Failed publickey for invalid user {name} from 203.0.113.66 port 2 {TAIL}", 7) is None
    assert of_sshd(f"Invalid user {name} from 203.0.113.66 port 2", 7) == Stranger()


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "2026.11.25 18:06:03 LOG5[0]: Service [rdv] accepted connection from ::ffff:203.0.113.21:47616",
            TlsCame(0, "203.0.113.21"),
        ),
        ("LOG5[17]: Service [rdv] accepted connection from ::1:53582", TlsCame(17, "::1")),
        ("LOG5[17]: Service [rdv] accepted connection from 203.0.113.21:5", TlsCame(17, "203.0.113.21")),
        ("LOG5[17]: Service [rdv] connected remote server from 127.0.0.1:46420", TlsWentOn(17, 46420)),
        ("LOG5[17]: s_connect: connected 127.0.0.1:2222", None),
        ("LOG5[ui]: Configuration successful", None),
        ("LOG3[2]: SSL_accept: Service [rdv] accepted", None),
    ],
)
def test_what_stunnel_tells(message: str, line: Line | None) -> None:
    assert of_stunnel(message) == line
