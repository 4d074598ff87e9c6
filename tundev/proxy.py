"""An HTTP proxy as the configuration gives it, and the one thing asked of it: a way through (CONNECT).

The password is in no text that is shown: not in errors, the status or the journal.
"""

from __future__ import annotations

import base64
import re
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from vtunlib.errors import ProxyRefused, printable

ANSWER_LIMIT = 16384
"""Bytes of a proxy's answer until its empty line."""

_INSTANT = 0.001
"""A timeout of 0 would be another mode of the socket."""

_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST = rf"(?![-_]|[^:/]{{254}}){_LABEL}(?:\.{_LABEL})*"
"""A name or an IPv4 address. What has another form (RFC 1035, 2.3.4) Python raises no OSError for."""

_URL = re.compile(
    r"http://(?:(?P<user>[^:@/\s]+)(?::(?P<password>[^@/\s]*))?@)?"
    rf"(?P<host>{HOST}):(?P<port>[0-9]{{1,5}})/?"
)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r?\n")
_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True)
class Proxy:
    """Shown without user and password."""

    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As the configuration has it, with the password: for a program that asks for it so."""
        user = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        return f"http://{user}{self.host}:{self.port}"

    @property
    def authorization(self) -> str:
        """The value of the header that says who asks (RFC 7617), empty for nobody."""
        if not self.user:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def parse(text: str) -> Proxy | None:
    """The proxy of `http://[user:password@]host:port`, %XX decoded in the first two; None if it is none."""
    found = _URL.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        return None
    user, password = unquote(found["user"] or ""), unquote(found["password"] or "")
    if ":" in user or not user.isprintable() or not password.isprintable():
        return None
    return Proxy(found["host"], int(found["port"]), user, password)


def connect_through(plain: socket.socket, proxy: str, target: str, authorization: str) -> None:
    """Have the proxy at the other end of `plain` pass on to `target`, as host:port.

    proxy: what it is called in errors. The timeout of `plain` is that of the whole answer, not of
    each of its bytes. Raises ProxyRefused, OSError.
    """
    patience = plain.gettimeout()
    deadline = None if patience is None else time.monotonic() + patience
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if authorization:
        lines.append(f"Proxy-Authorization: {authorization}")
    plain.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while not (end := _END.search(answer)):
        if deadline is not None:
            plain.settimeout(max(deadline - time.monotonic(), _INSTANT))
        # A byte more than the answer would be the server's: nothing of it comes before this side speaks TLS.
        data = plain.recv(4096)
        answer += data
        if not data or len(answer) > ANSWER_LIMIT:
            raise ProxyRefused(f"the proxy {proxy} did not answer as one", "check its address and port")
    plain.settimeout(patience)
    status = _STATUS.match(answer)
    passed = status is not None and 200 <= int(status[1]) < 300
    if status is None or (passed and end.end() != len(answer)):
        raise ProxyRefused(
            f"what answers as the proxy {proxy} is no HTTP proxy", "check its address and port"
        )
    if not passed:
        raise _refusal(
            proxy, target, int(status[1]), printable((status[2] or b"").decode(errors="replace"), 80)
        )


def _refusal(proxy: str, target: str, code: int, reason: str) -> ProxyRefused:
    if code in (401, 407):  # the former is tinyproxy's for a wrong password
        return ProxyRefused(
            f"the proxy {proxy} wants another user and password ({code})",
            'set them: proxy = "http://user:password@host:port"',
        )
    hints = {
        403: f"its administrator must allow CONNECT to {target}",
        405: f"its administrator must allow CONNECT to {target}",
        502: f"the proxy itself cannot reach {target}",
        503: f"the proxy itself cannot reach {target}",
        504: f"the proxy itself cannot reach {target}",
    }
    return ProxyRefused(
        f"the proxy {proxy} refuses the way to {target}: {code} {reason}".rstrip(), hints.get(code, "")
    )
