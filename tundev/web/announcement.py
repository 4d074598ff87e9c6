"""`master.local` for the laptop: multicast DNS (RFC 6762) on the technician's port, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress

from zeroconf import Error, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from tundev.web.guard import HTTP_PORT
from tundev.web.places import NAME, Place

_SERVICE = "_http._tcp.local."

log = logging.getLogger(__name__)
# What it warns of is a cable that is pulled, or what a laptop says wrong.
logging.getLogger("zeroconf").setLevel(logging.CRITICAL)


class Announcement:
    """The name leads to the address that it was told last."""

    def __init__(self) -> None:
        self._wanted: Place | None = None
        self._changed = asyncio.Event()
        self._zeroconf: AsyncZeroconf | None = None

    def at(self, place: Place | None) -> None:
        """Where it shall lead from now on; None takes it away."""
        if place != self._wanted:
            self._wanted = place
            self._changed.set()

    async def run(self) -> None:
        """Do so, until cancelled."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                place = self._wanted
                await self._withdraw()
                if place is not None:
                    await self._announce(place)
        finally:
            await self._withdraw()

    async def _announce(self, place: Place) -> None:
        try:
            self._zeroconf = AsyncZeroconf(interfaces=[str(place.address)])
            await self._zeroconf.zeroconf.async_wait_for_start()
            # It listens for questions on any address; a neighbour on the uplink is not to be answered.
            for transport in self._zeroconf.zeroconf.engine.readers:
                bound = transport.get_extra_info("socket")
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.link.encode())
            info = ServiceInfo(
                _SERVICE,
                f"Remote access.{_SERVICE}",
                port=HTTP_PORT,
                server=f"{NAME}.",
                addresses=[place.address.packed],
            )
            # There is one laptop at the other end of the cable: nobody else can have the name.
            sent = await self._zeroconf.async_register_service(info, cooperating_responders=True)
            await sent
        except (OSError, Error) as error:
            log.warning("%s is not announced on %s: %s", NAME, place.link, error)
            await self._withdraw()
        else:
            log.info("%s leads to %s on %s", NAME, place.address, place.link)

    async def _withdraw(self) -> None:
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            with suppress(OSError):  # the adapter went, and the address with it
                await zeroconf.async_close()
