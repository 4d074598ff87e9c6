"""The page's service, masterdev-web.service: listens where the page is to be had, and follows it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable

from aiohttp import web

from tundev.web import assets
from tundev.web import settings as page_settings
from tundev.web.announcement import Announcement
from tundev.web.app import App
from tundev.web.guard import HTTP_PORT
from tundev.web.listener import Listener
from tundev.web.page import Page
from tundev.web.places import Kind, Place
from vtunlib import bus as buses
from vtunlib.errors import RdvError
from vtunlib.service import Readiness, exit_code, until_told

LEAVING_SECONDS = 2.0
"""How long those that look may take to take the last word of a place that is left."""

log = logging.getLogger(__name__)


class Listeners:
    """The sockets, one in each place where the page is wanted."""

    def __init__(
        self,
        page: Page,
        manager: web.Server,
        named: Callable[[Place | None], None],
        settled: Callable[[str], None],
        port: int = HTTP_PORT,
    ) -> None:
        """named: told where on the technician's port the page is, None for nowhere; settled: where in all."""
        self.open: dict[Kind, Listener] = {}
        self._page = page
        self._manager = manager
        self._port = port
        self._changed = asyncio.Event()
        self._named = named
        self._settled = settled
        self._faults: dict[Kind, str] = {}
        page.on_change(self._changed.set)

    async def run(self) -> None:
        """Follow the page's places, until cancelled."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self.settle()
        finally:
            for kind in self.open:
                self._page.stream.end(kind)
            await asyncio.gather(*(listener.close(LEAVING_SECONDS) for listener in self.open.values()))

    async def settle(self) -> None:
        """Listen where the page is wanted now, and nowhere else."""
        for kind in Kind:
            former, place = self.open.get(kind), self._page.places.get(kind)
            if place is None:
                self._faults.pop(kind, None)
            if former is not None and place is not None and former.is_for(place):
                continue
            # The new place first: who is told of it finds it.
            opened = await self._open(place) if place is not None else None
            if former is not None:
                await self._leave(former, opened)
            if opened is not None:
                self.open[kind] = opened
                if kind is Kind.PORT:
                    self._named(opened.place)
        places = [f"{one.place.url} on {one.place.link}" for one in self.open.values()]
        told = ", ".join([*places, *self._faults.values()])
        self._settled(told or "nowhere: the technician's port has no address")

    async def _open(self, place: Place) -> Listener | None:
        listener = Listener(place, self._manager, self._port)
        try:
            await listener.open()
        except RdvError as error:
            if self._faults.get(place.kind) != str(error):
                log.warning("%s", error)
            self._faults[place.kind] = str(error)
            return None
        self._faults.pop(place.kind, None)
        log.info("the page is at %s on %s", place.url, place.link)
        return listener

    async def _leave(self, former: Listener, opened: Listener | None) -> None:
        place = former.place
        del self.open[place.kind]
        if place.kind is Kind.PORT:
            self._named(None)  # also before the same address on another adapter
        log.info("the page is no longer at %s", place.url)
        if opened is not None and opened.place.address != place.address:
            self._page.moves_to(opened.place)
        self._page.stream.end(place.kind)
        await former.close(LEAVING_SECONDS)


async def serve() -> None:
    """Run the page. Raises RdvError where it cannot start or loses the bus."""
    settings = page_settings.load()
    bus = await buses.connect()
    disconnected: asyncio.Future[None] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    page = Page(bus, settings)
    runner = web.AppRunner(App(page, assets.load()).application(), handle_signals=False)
    await runner.setup()
    assert runner.server is not None
    announcement = Announcement()
    readiness = Readiness()
    listeners = Listeners(page, runner.server, announcement.at, readiness.status)
    work = [asyncio.create_task(run()) for run in (page.stream.run, listeners.run, announcement.run)]
    try:
        await page.services.start()
        readiness.ready("looking for the technician's port")
        work.append(asyncio.create_task(until_told(disconnected)))
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        readiness.stopping()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await runner.cleanup()
        bus.disconnect()


def main() -> int:
    """Entry of /usr/lib/tundev/masterdev-web."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return exit_code(serve)


if __name__ == "__main__":
    sys.exit(main())
