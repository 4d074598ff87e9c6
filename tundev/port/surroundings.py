"""When this device's own network changes: addresses, routes, its DNS servers, and where the RDV is."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing, suppress

from tundev import lan
from vtunlib import file_events
from vtunlib.network import doorbell
from vtunlib.threads import left_behind

_DIRECTORIES = tuple(dict.fromkeys(path.parent for path in lan.RESOLVERS))


async def changes() -> AsyncGenerator[None, None]:
    """Yield after each change of any of them; several that come together may be told as one."""
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    with ExitStack() as open_now:
        bell = open_now.enter_context(doorbell.hang(doorbell.IPV4_ADDRESS | doorbell.IPV4_ROUTE))
        loop.add_reader(bell, rung.set)
        open_now.callback(loop.remove_reader, bell)
        files = file_events.watch(_DIRECTORIES, _not_there)
        if files is not None:
            open_now.callback(os.close, files)
            loop.add_reader(files, rung.set)
            open_now.callback(loop.remove_reader, files)
        while True:
            await rung.wait()
            rung.clear()
            doorbell.quieten(bell)
            if files is not None:
                with suppress(BlockingIOError):
                    os.read(files, 65536)  # which file it was does not matter
                # What makes such a file, NetworkManager or another, may have come after this began.
                file_events.add(files, _DIRECTORIES, _not_there)
            yield


async def keep_finding(server: str, found: Callable[[tuple[ipaddress.IPv4Address, ...]], None]) -> None:
    """Tell `found` the addresses of `server`, anew on each uplink: a DNS server there may have others."""
    asking: asyncio.Task[None] | None = None
    try:
        async with aclosing(lan.watch_uplink()) as uplinks:  # type: ignore[type-var]
            async for _ in uplinks:
                if asking is not None:
                    asking.cancel()
                asking = asyncio.create_task(_find(server, found))
    finally:
        if asking is not None:
            asking.cancel()


async def _find(server: str, found: Callable[[tuple[ipaddress.IPv4Address, ...]], None]) -> None:
    try:
        entries = await left_behind(socket.getaddrinfo, server, None, socket.AF_INET)
    except OSError:  # no network, or a name that nobody knows now
        return
    found(tuple(sorted({ipaddress.IPv4Address(entry[4][0]) for entry in entries})))


def _not_there(_what: object, _why: str) -> None:
    """A device has one of these services, not all."""
