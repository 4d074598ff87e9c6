"""What a service owes systemd: readiness, a fed watchdog, a status line, an end on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import sdnotify

from vtunlib.errors import RdvError

log = logging.getLogger(__name__)


class Readiness:
    """The service's word to systemd. The watchdog is fed by the running loop, which does the work."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self._feeding: asyncio.Task[None] | None = None

    def ready(self, status: str) -> None:
        """All is usable; feed the watchdog from now on."""
        self._notifier.notify(f"READY=1\nSTATUS={status}")
        usec = int(os.environ.get("WATCHDOG_USEC", "0"))
        if usec and self._feeding is None:
            self._feeding = asyncio.create_task(self._feed(usec / 3_000_000))

    def status(self, text: str) -> None:
        """What `systemctl status` shows."""
        self._notifier.notify(f"STATUS={text}")

    def stopping(self) -> None:
        """The service is about to end by itself."""
        self._notifier.notify("STOPPING=1")

    async def _feed(self, interval: float) -> None:
        while True:
            self._notifier.notify("WATCHDOG=1")
            await asyncio.sleep(interval)


async def until_told(disconnected: asyncio.Future[None]) -> None:
    """Wait for SIGTERM or SIGINT. Raises RdvError where the bus connection breaks before that."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    disconnected.add_done_callback(lambda _: told.set())
    await told.wait()
    if disconnected.done():
        if not disconnected.cancelled():
            disconnected.exception()  # taken, or its traceback would be in the journal
        raise RdvError("the connection to the system bus broke")


async def until_one_ends(*lives: Coroutine[Any, Any, None]) -> None:
    """Run them side by side until one returns or raises, and raise that; the others are cancelled."""
    work = [asyncio.create_task(life) for life in lives]
    try:
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


def exit_code(serve: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a service until it ends; 0, or the code of the RdvError that ended it, which is logged."""
    try:
        asyncio.run(serve())
    except RdvError as error:
        log.error("%s", error)
        return error.exit_code
    return 0
