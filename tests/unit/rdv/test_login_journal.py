"""Which entries of the journal are taken for the word of the RDV's sshd."""

from __future__ import annotations

from typing import Any

import pytest

from rdv.logins.login_journal import SSHD, of_entry
from rdv.logins.login_lines import Refused

REFUSAL = "Failed publickey for rpi1100 from 203.0.113.21 port 52002 ssh2: ED25519 SHA256:" + "A" * 43


@pytest.mark.parametrize(
    ("known", "taken"),
    [
        ({"_SYSTEMD_UNIT": SSHD, "_COMM": "sshd"}, True),
        ({}, True),  # it had ended before the journal looked at it
        ({"_SYSTEMD_UNIT": "ssh.service", "_COMM": "sshd"}, False),
        ({"_SYSTEMD_UNIT": SSHD, "_COMM": "nc"}, False),
        ({"_COMM": "logger"}, False),
        ({"_SYSTEMD_UNIT": "session-1.scope"}, False),
    ],
)
def test_only_the_word_of_the_rdvs_own_sshd_is_taken(known: dict[str, Any], taken: bool) -> None:
    entry = {"MESSAGE": REFUSAL, "_PID": 302, **known}
    assert isinstance(of_entry(entry), Refused) is taken


def test_a_message_that_is_no_text_is_passed_over() -> None:
    assert of_entry({"MESSAGE": b"\xff", "_PID": 302}) is None
