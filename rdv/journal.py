"""Log lines with fields: to the journal's own socket where systemd runs us, else to standard error."""

from __future__ import annotations

import logging
import os
import socket
import struct

SOCKET = "/run/systemd/journal/socket"

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def set_up(identifier: str, *, level: int = logging.INFO) -> None:
    """Send all log records where they belong. A record's `fields` (extra=) become the journal's."""
    handler: logging.Handler = logging.StreamHandler()
    if "JOURNAL_STREAM" in os.environ:
        handler = JournalHandler(identifier)
    logging.basicConfig(level=level, handlers=[handler], format="%(levelname)s: %(message)s", force=True)


class JournalHandler(logging.Handler):
    """Speaks the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

    def __init__(self, identifier: str, path: str = SOCKET) -> None:
        super().__init__()
        self._identifier = identifier
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record. The journal being away loses it, and nothing else."""
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + logging.Formatter().formatException(record.exc_info)
            fields = {
                "MESSAGE": message,
                "PRIORITY": str(_PRIORITIES.get(record.levelno, 6)),
                "SYSLOG_IDENTIFIER": self._identifier,
                "LOGGER": record.name,
                **getattr(record, "fields", {}),
            }
            self._socket.sendto(encode(fields), self._path)
        except OSError:
            pass
        except Exception:
            self.handleError(record)


def encode(fields: dict[str, str]) -> bytes:
    """Fields in the journal's native protocol."""
    lines = []
    for name, value in fields.items():
        data = str(value).encode(errors="replace")
        if b"\n" in data:
            lines.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            lines.append(name.encode() + b"=" + data + b"\n")
    return b"".join(lines)
