"""The page's sockets: reached through their interface, and by nobody else who knows the address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address

import pytest
from aiohttp import web

from tests.lab.host import wait_until
from tests.lab.page import answers, resolve
from tests.netns.conftest import MakeNamespace, ip
from tundev.web.announcement import Announcement
from tundev.web.listener import Listener
from tundev.web.places import Kind, Place
from vtunlib.errors import RdvError
from vtunlib.namespace import inside

PORT = Place(Kind.PORT, IPv4Address("192.168.38.225"), "port")
LAPTOP, UPLINK, NEIGHBOUR = "192.168.38.226", "192.168.7.1", "192.168.7.2"


def join(master: str, other: str, link: str, own: str, theirs: str) -> None:
    """A cable from the master's `link` to `eth0` of the other."""
    ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", other, namespace=master)
    for namespace, name, address in ((master, link, own), (other, "eth0", theirs)):
        ip("address", "add", f"{address}/24", "dev", name, namespace=namespace)
        ip("link", "set", name, "up", namespace=namespace)


@pytest.fixture
def desk(make_namespace: MakeNamespace) -> tuple[str, str, str]:
    """The master, the laptop at its port, and a neighbour on its uplink who sends it what is for the port."""
    master, laptop, neighbour = make_namespace(), make_namespace(), make_namespace()
    join(master, laptop, PORT.link, str(PORT.address), LAPTOP)
    join(master, neighbour, "uplink", UPLINK, NEIGHBOUR)
    ip("route", "add", str(PORT.address), "via", UPLINK, namespace=neighbour)
    ip("route", "add", "default", "via", UPLINK, namespace=neighbour)
    return master, laptop, neighbour


@asynccontextmanager
async def listening(place: Place = PORT) -> AsyncIterator[Listener]:
    async def hello(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    listener = Listener(place, web.Server(hello), 80)
    await listener.open()
    try:
        yield listener
    finally:
        await listener.close(1.0)


def on(master: str, story: Callable[[], Awaitable[None]]) -> None:
    """Run it with a loop in the master's namespace."""

    async def run() -> None:
        async with asyncio.timeout(30):
            await story()

    inside(master, lambda: asyncio.run(run()))


def test_the_port_s_page_is_the_laptop_s_and_not_the_neighbour_s(desk: tuple[str, str, str]) -> None:
    """Though the kernel takes in what is for any of its addresses on any interface."""
    master, laptop, neighbour = desk

    async def story() -> None:
        async with listening():
            assert await asyncio.to_thread(answers, laptop, str(PORT.address))
            assert not await asyncio.to_thread(answers, neighbour, str(PORT.address))
        # It is the binding that keeps the neighbour out, not the way there.
        async with listening(Place(Kind.UPLINK, PORT.address, "uplink")):
            assert await asyncio.to_thread(answers, neighbour, str(PORT.address))

    on(master, story)


def test_the_name_is_told_on_the_port_and_nowhere_else(desk: tuple[str, str, str]) -> None:
    master, laptop, neighbour = desk

    async def story() -> None:
        announcement = Announcement()
        announcement.at(PORT)
        running = asyncio.create_task(announcement.run())
        try:
            asked = lambda: resolve(laptop, LAPTOP, patience=1.0) == [str(PORT.address)]  # noqa: E731
            await asyncio.to_thread(wait_until, asked, what="master.local on the port")
            for at in (None, UPLINK, str(PORT.address)):
                found = await asyncio.to_thread(resolve, neighbour, NEIGHBOUR, at=at, patience=0.5)
                assert found == []
            announcement.at(None)
            gone = lambda: not resolve(laptop, LAPTOP, patience=0.5)  # noqa: E731
            await asyncio.to_thread(wait_until, gone, what="no master.local any more")
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    on(master, story)


def test_an_adapter_that_came_again_is_another_place(desk: tuple[str, str, str]) -> None:
    master, laptop, _ = desk

    async def story() -> None:
        async with listening() as former:
            assert former.is_for(PORT)
            ip("link", "delete", PORT.link, namespace=master)
            assert not former.is_for(PORT)
            join(master, laptop, PORT.link, str(PORT.address), LAPTOP)
            assert not former.is_for(PORT)
            async with listening():
                assert await asyncio.to_thread(answers, laptop, str(PORT.address))

    on(master, story)


def test_an_interface_that_is_gone_is_an_error_in_words(desk: tuple[str, str, str]) -> None:
    async def story() -> None:
        with pytest.raises(RdvError, match=r"^the page cannot be at http://192\.168\.38\.225/: no interface"):
            async with listening(Place(Kind.PORT, PORT.address, "gone")):
                pass

    on(desk[0], story)
