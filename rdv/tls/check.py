"""Trying stunnel's configuration before the running stunnel is touched: stunnel itself has no test for it.

A second stunnel takes the same text, as the same user, in a network namespace of
its own where nobody can reach it, and is ended as soon as it has said what it thinks.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from rdv.tls import files
from vtunlib.errors import ConfigError, MissingProgram, RdvError, Timeout

DEADLINE = 10.0
PORT = 443

_TAKEN = "Configuration successful"
_FAULT = re.compile(r"(?:\[!\]|LOG[0-3]\[[^\]]*\]:) (.*)")
_PLACE = re.compile(r"^0:(\d+): ")
"""Descriptor and line."""
_SECTION = re.compile(r"^\[", re.MULTILINE)
_ACCEPT = re.compile(r"^\s*accept\s*=\s*(?:.*:)?(\d+)\s*$", re.MULTILINE)
# The last of two global options counts: that it speaks at all is ours to say here.
_SPEAK = "foreground = yes\npid =\nsyslog = no\ndebug = notice\n"


def check(path: Path = files.STUNNEL_CONF) -> None:
    """Raises ConfigError with what stunnel has against the file; Timeout, RdvError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    said: list[str] = []
    try:
        taken = _ask(_SECTION.sub(f"{_SPEAK}[", text, count=1), said)
    except FileNotFoundError as error:
        raise MissingProgram(
            f"{error.filename} is not installed", "apt install stunnel4 util-linux"
        ) from None
    if not taken:
        section = _SECTION.search(text)
        raise ConfigError(f"{path}: {faults(said, text[: section.start()] if section else text)}")


def faults(said: Sequence[str], head: str) -> str:
    """What stunnel has against a configuration; head: what stood in it before our own lines."""

    def line(found: re.Match[str]) -> str:
        number = int(found[1])
        own = _SPEAK.count("\n") if number > head.count("\n") + 1 else 0
        return f"line {number - own}: "

    told = [found[1] for text in said if (found := _FAULT.search(text))]
    told = [text for text in told if not text.startswith(("error queue:", "Configuration failed"))]
    return "; ".join(_PLACE.sub(line, text) for text in told) or "stunnel does not take it, and says nothing"


def _ask(text: str, said: list[str]) -> bool:
    user = files.STUNNEL_USER
    argv = [
        *("unshare", "--net", "--", "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
        *("--", "stunnel4", "-fd", "0"),
    ]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        try:
            with suppress(BrokenPipeError):  # it ended before it had read all: it says why
                process.stdin.write(text.encode())
                process.stdin.close()
            return _listen(process.stderr, said)
        finally:
            process.kill()


def _listen(stream: IO[bytes], said: list[str]) -> bool:
    """Whether it says that it takes the configuration; False where it ends without."""
    descriptor = stream.fileno()
    ends, rest = time.monotonic() + DEADLINE, b""
    while True:
        left = ends - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise Timeout(f"stunnel did not say within {DEADLINE:g} s whether it takes its configuration")
        data = os.read(descriptor, 4096)
        *lines, rest = (rest + data).split(b"\n")
        said += [line.decode(errors="replace") for line in lines]
        if any(_TAKEN in line for line in said):
            return True
        if not data:
            return False


def port(path: Path = files.STUNNEL_CONF) -> int:
    """The port that stunnel is to listen on."""
    try:
        found = _ACCEPT.search(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        found = None
    return int(found[1]) if found else PORT


def is_taken(number: int) -> bool:
    """Whether another program listens on that port here."""
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def main() -> int:
    """Entry of /usr/lib/rdv/check-stunnel; with --start it says, too, where the port is taken."""
    try:
        check()
        if sys.argv[1:] == ["--start"] and is_taken(port()):
            raise RdvError(
                f"port {port()} is taken by another program, so no device can come in by TLS",
                f"'ss -ltnp sport = :{port()}' tells which; end it, or change {files.STUNNEL_CONF}",
            )
    except RdvError as error:
        print(f"check-stunnel: {error}", file=sys.stderr)
        return error.exit_code
    return 0
