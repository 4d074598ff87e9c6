"""What is plugged in, told as it changes: udev for the devices, netlink for their links.

udev says what a device is, and only once its rules have run and it has its name. The
kernel says what its link is called now, whether it is up and has a carrier, and that it
is gone. Both are only doorbells as far as links go: the state is read after the ring, so
a rename in between, or an event that was lost, makes no difference.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncGenerator, Iterable
from contextlib import ExitStack
from pathlib import Path

from tundev import config
from tundev.port.adapters import Choice, Device, Devices, Event, Network, choose, device
from vtunlib.network import doorbell
from vtunlib.network.kernel import Kernel

UDEV = Path("/run/udev/control")
"""There while a udev daemon runs; libudev looks at the same."""

_MAIN_TABLE = 254

log = logging.getLogger(__name__)


async def watch(master: config.Master) -> AsyncGenerator[Choice, None]:
    """Yield the choice as it is, then at each change of anything in it. Ends only by being closed.

    Changes that follow each other faster than they are read may be told as one, or not at all where
    they lead back. An adapter pulled and plugged in again in between has another `plug`. Where no
    udev runs (a container), only an interface that the configuration names is found.
    """
    rung = asyncio.Event()
    loop = asyncio.get_running_loop()
    with ExitStack() as open_now:
        bell = open_now.enter_context(doorbell.hang(doorbell.LINK | doorbell.IPV4_ROUTE))
        kernel = open_now.enter_context(Kernel())
        udev = _udev()
        for source in [bell.fileno()] + ([udev.fileno()] if udev else []):
            loop.add_reader(source, rung.set)
            open_now.callback(loop.remove_reader, source)
        told: Choice | None = None
        while True:
            rung.clear()
            doorbell.quieten(bell)
            choice = _choice(udev, kernel, master, told)
            if choice != told:
                told = choice
                yield choice
            await rung.wait()


def _choice(udev: Udev | None, kernel: Kernel, master: config.Master, told: Choice | None) -> Choice:
    # First udev: a device that it told of and that has no link any more is gone.
    if udev is not None:
        udev.listen()
    links = kernel.links()
    devices: Iterable[Device] = [Device(link.index) for link in links]
    if udev is not None:
        devices = udev.known
        devices.keep({link.index for link in links})
    network = Network(links, _gateways(kernel))
    return choose(devices, network, master, told)


def _udev() -> Udev | None:
    """None where no udev daemon runs."""
    return Udev() if UDEV.exists() else None


def _gateways(kernel: Kernel) -> frozenset[int]:
    """The links that the main table has a default route through."""
    routes = kernel.dumped(
        "default routes", kernel.ipr.get_default_routes, family=socket.AF_INET, table=_MAIN_TABLE
    )
    return frozenset(route.get_attr("RTA_OIF") for route in routes if route.get_attr("RTA_OIF"))


class Udev:
    """What udev tells of network devices. It listens before it enumerates, so nothing is missed."""

    def __init__(self) -> None:
        import pyudev

        self.known = Devices()
        self._context = pyudev.Context()
        self._monitor = pyudev.Monitor.from_netlink(self._context, source="udev")
        self._monitor.filter_by("net")
        self._monitor.start()
        self.known.restart(self._enumerated())

    def fileno(self) -> int:
        """Readable when udev has told of something."""
        return int(self._monitor.fileno())

    def listen(self) -> None:
        """Take in all that has been told until now."""
        lost = False
        while True:
            try:
                told = self._monitor.poll(timeout=0)
            except OSError as error:
                if (error.errno or self._pending()) != errno.ENOBUFS:
                    raise
                lost = True
                continue
            if told is None:
                break
            one = device(dict(told.properties))
            if one is not None:
                self.known.take(Event(told.action, one))
        if lost:
            log.warning("udev told more than could be taken in: looking anew")
            self.known.restart(self._enumerated())

    def _pending(self) -> int:
        """The socket's own error, which it then has no longer: pyudev says only that there is one."""
        with socket.socket(fileno=os.dup(self.fileno())) as same:
            return same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _enumerated(self) -> list[Device]:
        found = (device(dict(one.properties)) for one in self._context.list_devices(subsystem="net"))
        return [one for one in found if one is not None]
