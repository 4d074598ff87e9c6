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

_IPV6 = Path("/proc/net/if_inet6")
"""There where the kernel has IPv6."""
_TAKEN = "Configuration successful"
_FAULT = re.compile(r"(?:\[!\]|LOG[0-3]\[[^\]]*\]:) (.*)")
_PLACE = re.compile(r"^0:(\d+): ")
"""Descriptor and line."""
_SECTION = re.compile(r"^\[", re.MULTILINE)
_ACCEPT = re.compile(r"^\s*accept\s*=\s*(?:(?P<host>.*):)?(?P<port>\d+)\s*$", re.MULTILINE)
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


def in_force() -> Path:
    """The configuration that stunnel runs with, or would be started with."""
    return files.STUNNEL_SERVED if files.STUNNEL_SERVED.exists() else files.STUNNEL_CONF


def port(path: Path | None = None) -> int:
    """The port that stunnel is to listen on; by default with the configuration in force."""
    found = _accept(path)
    return int(found["port"]) if found else PORT


def wants_ipv6(path: Path | None = None) -> bool:
    """Whether stunnel is to listen on IPv6 too, and so would not start without it."""
    found = _accept(path)
    return found is not None and found["host"] == "::"


def _accept(path: Path | None) -> re.Match[str] | None:
    try:
        return _ACCEPT.search((path or in_force()).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


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


def can_listen() -> None:
    """Raises RdvError where stunnel takes its configuration, but could not listen as it says."""
    number = port()
    if wants_ipv6() and not _IPV6.exists():
        raise ConfigError(
            f"{files.STUNNEL_CONF} wants IPv6, which this host's kernel does not have",
            f"write 'accept = {number}' there",
        )
    if is_taken(number):
        raise RdvError(
            f"port {number} is taken by another program, so no device can come in by TLS",
            f"'ss -ltnp sport = :{number}' tells which; end it, or change {files.STUNNEL_CONF}",
        )


def main() -> int:
    """Entry of /usr/lib/rdv/check-stunnel; with --port it looks at nothing but the port."""
    try:
        if sys.argv[1:] == ["--port"]:
            can_listen()
        else:
            check()
    except RdvError as error:
        print(f"check-stunnel: {error}", file=sys.stderr)
        return error.exit_code
    return 0
