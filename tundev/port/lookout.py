"""Looks out for other networks on the port: before ours answers there, and for as long as it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from tundev.port import strangers
from vtunlib.errors import NotFound

AGAIN_SECONDS = 1.0
"""After a look that the loss of the link broke off, when nothing is heard of the link."""

log = logging.getLogger(__name__)


class Lookout:
    """One look at a time. What it finds is told by the three callables.

    clear: nobody is there; it looks on. slow: why it takes long. found: who is there; it is over.
    """

    def __init__(
        self, clear: Callable[[], None], slow: Callable[[str], None], found: Callable[[str], None]
    ) -> None:
        self._clear = clear
        self._slow = slow
        self._found = found
        self._task: asyncio.Task[None] | None = None

    def tend(self, interface: str | None) -> None:
        """Look out on this interface, if that is not done or was not done to its end; None: on none."""
        if interface is None:
            self.stop()
        elif self._task is None:
            self._task = asyncio.create_task(self._look(interface))
            self._task.add_done_callback(_complain)

    def stop(self) -> None:
        """Look no more; the next look is a new one."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _look(self, interface: str) -> None:
        while True:
            try:
                stranger = await strangers.look(interface, tell=self._slow)
                if stranger is None:
                    self._clear()
                    async with aclosing(strangers.watch(interface)) as more:
                        stranger = await anext(more)
            except NotFound as error:
                log.debug("%s", error)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                self._found(stranger.text)
                return


def _complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("cannot look for other networks on the port: %s", task.exception())
