"""From a network to a way on which ssh is worth a try: the name, TCP, and TLS where the route wants it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence

from tundev import lan, paths
from tundev.config import Rdv
from tundev.config_values import Transport
from tundev.ssh_link import Endpoint
from tundev.tls_dial import Way
from tundev.transport import PROXY_COMMAND, Hop, Route, first_hop, tls_way, try_tls, write_way
from vtunlib.errors import NameNotResolved, RdvUnreachable, Timeout
from vtunlib.threads import left_behind

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 10.0
LOOK_SECONDS = 60.0
"""Until it is known whether the way by TLS is open: a slow proxy, then the handshake, up to three times."""
AUTO_SECONDS = 5.0
"""The same where there is another way to try: a firewall that drops must not cost long."""

log = logging.getLogger(__name__)


async def open_way(rdv: Rdv, route: Route, note: Callable[..., None]) -> tuple[Endpoint, str]:
    """What ssh is to be given, and what is odd about the server's certificate (mostly nothing).

    note: told of each step as a fact of tundev.states. Raises RdvError.
    """
    hop = first_hop(rdv, route)
    addresses = await resolve(hop)
    note(resolved=True)
    patience = AUTO_SECONDS if rdv.transport is Transport.AUTO else CONNECT_SECONDS
    address = await dial(hop, addresses, patience)
    note(reachable=True)
    paths.TLS.unlink(missing_ok=True)  # of a former attempt: a proxy's password may be in it
    if route is Route.SSH:
        return Endpoint(rdv.server, address, rdv.account, rdv.host_key), ""
    way = tls_way(rdv, route, address)
    oddity = await _look(way)
    if oddity:
        log.warning("%s; the server is known by its pinned host key", oddity)
    await asyncio.to_thread(write_way, way)
    note(secured=True)
    return Endpoint(rdv.server, address, rdv.account, rdv.host_key, PROXY_COMMAND), oddity


async def _look(way: Way) -> str:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await left_behind(try_tls, way)
    except TimeoutError:
        raise Timeout(f"the way by TLS to {way.host} was not open within {LOOK_SECONDS:.0f} s") from None


async def resolve(hop: Hop) -> list[str]:
    """The addresses of the server, or of the proxy on the way to it. Raises NameNotResolved."""
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            # Where nothing answers, the resolver goes on for long after that.
            found = await left_behind(socket.getaddrinfo, hop.host, hop.port, type=socket.SOCK_STREAM)
    except OSError:
        raise await asyncio.to_thread(_unresolved, hop.host) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _unresolved(name: str) -> NameNotResolved:
    """Where nobody can be asked, the name is not to blame."""
    text = f"the name {name} cannot be resolved"
    if lan.dns_servers():
        return NameNotResolved(text, "check the network's DNS server, or the name")
    hint = "set 'dns' in [uplink.ethernet], or put the RDV server's address into 'server'"
    return NameNotResolved(f"{text}: this network names no DNS server", hint)


async def dial(hop: Hop, addresses: Sequence[str], patience: float) -> str:
    """The first address that takes a TCP connection within `patience` seconds. Raises RdvUnreachable."""
    reason = ""
    for address in addresses:
        try:
            async with asyncio.timeout(patience):
                _, writer = await asyncio.open_connection(address, hop.port)
        except TimeoutError:
            reason = "no answer"
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
        else:
            writer.close()
            return address
    raise RdvUnreachable(
        f"{hop.text} does not take a TCP connection on port {hop.port}: {reason}",
        "does a firewall hold back outgoing connections to it?",
    )
