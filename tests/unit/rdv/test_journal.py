"""Log lines on their way to the journal."""

from __future__ import annotations

import logging
import socket
import struct
from pathlib import Path

from rdv.journal import JournalHandler, encode


def test_a_value_of_several_lines_cannot_forge_a_field() -> None:
    text = "one\nRDV_SESSION=forged"
    assert encode({"MESSAGE": text}) == b"MESSAGE\n" + struct.pack("<Q", len(text)) + text.encode() + b"\n"


def test_a_record_s_fields_become_the_journal_s(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        handler = JournalHandler("test", str(tmp_path / "journal"))
        record = logging.LogRecord("rdv.sessions.life", logging.WARNING, "", 0, "leg of %s", ("rpi1",), None)
        record.fields = {"RDV_SESSION": "0123abcd"}
        handler.emit(record)
        lines = journal.recv(4096).decode().splitlines()
    assert {"MESSAGE=leg of rpi1", "PRIORITY=4", "SYSLOG_IDENTIFIER=test", "RDV_SESSION=0123abcd"} <= set(
        lines
    )


def test_without_a_journal_a_record_is_lost_and_nothing_else(tmp_path: Path) -> None:
    handler = JournalHandler("test", str(tmp_path / "none"))
    handler.emit(logging.LogRecord("rdv", logging.INFO, "", 0, "gone", (), None))
