"""By which way the SSH connection travels: direct, or inside TLS on 443, through a proxy where one is set.

What comes next after which failure is decided here; tundev.agent goes the ways.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tundev import paths, tls_dial
from tundev.config import Rdv
from tundev.config_values import DEFAULT_PORT, Server, Transport
from vtunlib.errors import (
    CertificateRefused,
    ProtocolError,
    ProxyRefused,
    RdvError,
    RdvUnreachable,
    Timeout,
    TlsIntercepted,
)

TLS_PORT = 443
DIRECT_AGAIN_SECONDS = 3600.0
"""After so long a device that came by TLS tries direct SSH first once more, when it dials anyway."""

PROXY_COMMAND = f"/usr/lib/tundev/tls-relay {paths.TLS}"
"""ssh gives it to a shell: nothing of anybody's is in it."""

NO_WAY = (
    *(RdvUnreachable, ProtocolError, Timeout),
    *(ProxyRefused, TlsIntercepted, CertificateRefused),
)
"""Failures of a way. All others are of the server or of this device, and the same by any way."""


class Route(StrEnum):
    """A way to the server, as the status names it."""

    SSH = "ssh"
    TLS = "tls"
    PROXY = "tls via proxy"


@dataclass(frozen=True)
class Hop:
    """What is dialled first: the server or the proxy; text is what it is called."""

    host: str
    port: int
    text: str


class Routes:
    """Which routes there are, and in which order they are tried."""

    def __init__(self, rdv: Rdv) -> None:
        tls = Route.PROXY if rdv.proxy else Route.TLS
        self.all: tuple[Route, ...] = {
            Transport.SSH: (Route.SSH,),
            Transport.TLS: (tls,),
            Transport.AUTO: (Route.SSH, tls),
        }[rdv.transport]
        self._last: Route | None = None
        self._from: object = None
        self._direct_tried = 0.0

    def order(self, uplink: object, now: float) -> tuple[Route, ...]:
        """What worked last from this uplink comes first, but direct SSH where that is long ago; seconds."""
        if uplink != self._from or now - self._direct_tried > DIRECT_AGAIN_SECONDS:
            self._last, self._from = None, uplink
        first = [self._last] if self._last in self.all else []
        order = tuple(dict.fromkeys([*first, *self.all]))
        if order[0] is Route.SSH:
            self._direct_tried = now
        return order

    def worked(self, route: Route) -> None:
        """The server was reached by this one."""
        self._last = route


def all_failed(failures: Mapping[Route, RdvError]) -> RdvError:
    """The one error for all routes' failures; of the class of the most telling one."""
    if len(failures) == 1:
        return next(iter(failures.values()))
    told = [error for error in failures.values() if not isinstance(error, RdvUnreachable)]
    last = told[-1] if told else list(failures.values())[-1]
    text = "; ".join(f"by {route}: {error.message}" for route, error in failures.items())
    return type(last)(text, last.hint)


def tls_port(rdv: Rdv) -> int:
    """443, but for transport = "tls" and a port in server, which then is that of TLS."""
    named = rdv.transport is Transport.TLS and rdv.server.port != DEFAULT_PORT
    return rdv.server.port if named else TLS_PORT


def first_hop(rdv: Rdv, route: Route) -> Hop:
    """Whom the device connects to by this route."""
    if route is Route.PROXY:
        assert rdv.proxy is not None
        return Hop(rdv.proxy.host, rdv.proxy.port, f"the proxy {rdv.proxy}")
    server = Server(rdv.server.host, rdv.server.port if route is Route.SSH else tls_port(rdv))
    return Hop(server.host, server.port, str(server))


def tls_way(rdv: Rdv, route: Route, address: str) -> tls_dial.Way:
    """How the TLS connection is made; address: of the first hop."""
    proxy = rdv.proxy if route is Route.PROXY else None
    return tls_dial.Way(
        address=address,
        port=first_hop(rdv, route).port,
        host=rdv.server.host,
        host_port=tls_port(rdv),
        ca_cert=rdv.ca_cert or "",
        proxy=str(proxy) if proxy else "",
        authorization=proxy.authorization if proxy else "",
    )


def try_tls(way: tls_dial.Way) -> str:
    """Dial once to see whether this way is open; what is odd about the certificate. Raises as tls_dial."""
    secured = tls_dial.dial(way)
    with suppress(OSError):
        secured.sock.close()
    return secured.note


def write_way(way: tls_dial.Way, path: Path = paths.TLS, user: str | None = paths.USER) -> None:
    """Tell the relay, which runs as ssh does; nobody else may read it, for a proxy's password is in it."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(way), file)
    if user is not None:
        shutil.chown(path, group=user)
        path.chmod(0o640)
