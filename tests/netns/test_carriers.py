"""A leg's life is told by the carrier of its device."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from tests.netns.attach import attach
from tests.netns.conftest import ip, open_descriptors
from vtunlib.errors import NotFound, RdvError
from vtunlib.namespace import inside
from vtunlib.network import Network, Tun, carrier, watch_carriers
from vtunlib.network import carriers as carriers_module
from vtunlib.tunnel import TunnelMode

LEGS = [Tun("onsite", TunnelMode.L3), Tun("master", TunnelMode.L2)]
SECONDS = 10


def watching(namespace: str, *links: str) -> aclosing[AsyncGenerator[tuple[str, bool], None]]:
    return aclosing(watch_carriers(namespace, links))


def test_the_state_comes_first_then_each_change(namespace: str) -> None:
    Network(namespace).set(LEGS)

    async def main() -> None:
        async with asyncio.timeout(SECONDS), watching(namespace, "onsite", "master") as changes:
            assert [await anext(changes), await anext(changes)] == [("onsite", False), ("master", False)]
            held = inside(namespace, attach, "master", TunnelMode.L2)
            assert await anext(changes) == ("master", True)
            other = inside(namespace, attach, "onsite", TunnelMode.L3)
            assert await anext(changes) == ("onsite", True)
            held.close()
            assert await anext(changes) == ("master", False)
            other.close()
            assert await anext(changes) == ("onsite", False)

    asyncio.run(main())


def test_a_link_that_disappears_is_down_and_may_come_again(namespace: str) -> None:
    network = Network(namespace)
    network.set(LEGS)

    async def main() -> None:
        with inside(namespace, attach, "onsite", TunnelMode.L3):
            async with asyncio.timeout(SECONDS), watching(namespace, "onsite") as changes:
                assert await anext(changes) == ("onsite", True)
                network.clear()
                assert await anext(changes) == ("onsite", False)
                network.set(LEGS)
                with inside(namespace, attach, "onsite", TunnelMode.L3):
                    assert await anext(changes) == ("onsite", True)

    asyncio.run(main())


def test_a_device_that_is_set_down_has_no_carrier(namespace: str) -> None:
    Network(namespace).set(LEGS)
    with inside(namespace, attach, "onsite", TunnelMode.L3):
        assert carrier(namespace, "onsite")
        ip("link", "set", "onsite", "down", namespace=namespace)
        assert not carrier(namespace, "onsite")
    assert not carrier(namespace, "no-such-link")


def test_lost_events_lose_no_change(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Network(namespace).set(LEGS)
    opened: list[socket.socket] = []
    really_open = carriers_module._open

    def open_small() -> tuple[object, socket.socket]:
        kernel, doorbell = really_open()
        doorbell.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel's least
        opened.append(doorbell)
        return kernel, doorbell

    monkeypatch.setattr(carriers_module, "_open", open_small)

    async def main() -> None:
        async with asyncio.timeout(SECONDS), watching(namespace, "onsite") as changes:
            assert await anext(changes) == ("onsite", False)
            for number in range(20):
                ip("link", "add", f"noise{number}", "type", "bridge", namespace=namespace)
            with inside(namespace, attach, "onsite", TunnelMode.L3):
                assert await anext(changes) == ("onsite", True)
            assert await anext(changes) == ("onsite", False)
            # It really overflowed: the next read of such a socket says so.
            for number in range(20):
                ip("link", "delete", f"noise{number}", namespace=namespace)
            with pytest.raises(OSError, match="No buffer space"):
                while True:
                    opened[0].recv(65536)

    asyncio.run(main())


def test_a_cancelled_watch_leaves_nothing_open(namespace: str) -> None:
    Network(namespace).set(LEGS)

    async def follow() -> None:
        async with watching(namespace, "onsite") as changes:
            async for _ in changes:
                pass

    async def main() -> None:
        before = open_descriptors()
        for _ in range(5):
            task = asyncio.create_task(follow())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with watching(namespace, "onsite") as changes:
            await anext(changes)
        assert open_descriptors() == before

    asyncio.run(main())


def test_without_the_namespace_it_is_told(namespace: str) -> None:
    ip("netns", "delete", namespace)

    async def main() -> None:
        async with watching(namespace, "onsite") as changes:
            await anext(changes)

    with pytest.raises(NotFound):
        asyncio.run(main())
    with pytest.raises(NotFound):
        carrier(namespace, "onsite")


def test_a_name_that_is_no_link_is_refused() -> None:
    async def main() -> None:
        async with watching("x", "a/b") as changes:
            await anext(changes)

    with pytest.raises(RdvError, match="no name"):
        asyncio.run(main())
