"""Who is attached to a tunnel's device: its carrier, told by the kernel as it changes.

A persistent tun or tap has a carrier exactly while a process holds it open, so
its carrier is the leg's life: no polling, no watching of units.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator, Collection

from vtunlib.namespace import inside
from vtunlib.network.item import check_link_name
from vtunlib.network.kernel import Kernel

_RTMGRP_LINK = 1  # linux/rtnetlink.h
_DATAGRAM = 65536


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
    kernel, doorbell = inside(namespace, _open)
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    loop.add_reader(doorbell, rung.set)
    try:
        told: dict[str, bool] = {}
        while True:
            # Emptied before the state is read, so that a change after it rings again.
            rung.clear()
            _drain(doorbell)
            for name in links:
                up = _carrier(kernel, name)
                if told.get(name) is not up:
                    told[name] = up
                    yield name, up
            await rung.wait()
    finally:
        loop.remove_reader(doorbell)
        doorbell.close()
        kernel.close()


def _open() -> tuple[Kernel, socket.socket]:
    doorbell = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        doorbell.setblocking(False)
        doorbell.bind((0, _RTMGRP_LINK))
        return Kernel(), doorbell
    except BaseException:
        doorbell.close()
        raise


def _drain(doorbell: socket.socket) -> None:
    while True:
        try:
            doorbell.recv(_DATAGRAM)
        except BlockingIOError:
            return
        except OSError as error:
            # Events were lost; since the state is read afterwards, none is missed.
            if error.errno != errno.ENOBUFS:
                raise
