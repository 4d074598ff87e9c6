"""Who is attached to a tunnel's device: its carrier, told by the kernel as it changes.

A persistent tun or tap has a carrier exactly while a process holds it open, so
its carrier is the leg's life: no polling, no watching of units.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Collection

from vtunlib.namespace import inside
from vtunlib.network import doorbell
from vtunlib.network.item import check_link_name
from vtunlib.network.kernel import Kernel


def carrier(namespace: str | None, link: str) -> bool:
    """Whether the link is there, up, and has a carrier. Raises NotFound without the namespace."""

    def read() -> bool:
        with Kernel() as kernel:
            return _carrier(kernel, link)

    return inside(namespace, read)


def _carrier(kernel: Kernel, name: str) -> bool:
    link = kernel.link(name)
    return link is not None and link.carrier


async def watch_carriers(
    namespace: str | None, links: Collection[str]
) -> AsyncGenerator[tuple[str, bool], None]:
    """Yield (link, whether it has a carrier): first as it is for each link, then each change.

    A link that is not there has none; it may come later. Two changes that follow
    each other faster than they are read may be told as one, or, where they lead
    back to what was told last, not at all. Ends only by being closed or
    cancelled. While it is open it keeps the namespace alive, also without its
    name. Raises NotFound without the namespace.
    """
    for name in links:
        check_link_name(name)
    kernel, bell = inside(namespace, _open)
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    loop.add_reader(bell, rung.set)
    try:
        told: dict[str, bool] = {}
        while True:
            rung.clear()
            doorbell.quieten(bell)
            for name in links:
                up = _carrier(kernel, name)
                if told.get(name) is not up:
                    told[name] = up
                    yield name, up
            await rung.wait()
    finally:
        loop.remove_reader(bell)
        bell.close()
        kernel.close()


def _open() -> tuple[Kernel, socket.socket]:
    bell = doorbell.hang(doorbell.LINK)
    try:
        return Kernel(), bell
    except BaseException:
        bell.close()
        raise
