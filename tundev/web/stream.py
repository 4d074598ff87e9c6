"""Who looks at the page, each by a stream of server-sent events (HTML Standard, section 9.2).

The state is whole each time, so who is slow gets the newest and skips what is between; steps are
one after the other. Who takes too little for too long is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from tundev.web.places import Kind
from vtunlib.errors import Busy

READERS = 16
"""At one time."""
PAUSE = 0.1
"""Seconds between two states, in which changes gather."""
KEEP_ALIVE = 5.0
"""Seconds of silence after which an event says that the stream lives: a page cannot see a comment."""
WAITING = 64
"""Events that a reader may have to take before it is dropped."""
RETRY_MS = 1000
"""After which a browser connects anew."""


def event(name: str, data: str) -> str:
    """One event; `data` is a line."""
    return f"event: {name}\ndata: {data}\n\n"


class Reader:
    """One who looks, from one place."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._state: str | None = None
        self._events: deque[str] = deque()
        self._news = asyncio.Event()
        self._over = False

    def show(self, state: str) -> None:
        """The newest state."""
        self._state = state
        self._news.set()

    def tell(self, told: str) -> None:
        """An event, before the next state."""
        if len(self._events) < WAITING:
            self._events.append(told)
        else:
            self._over = True
        self._news.set()

    def end(self) -> None:
        """Nothing more, after what was told."""
        self._over = True
        self._news.set()

    async def chunks(self) -> AsyncIterator[str]:
        """What to send, until the reader ends."""
        yield f"retry: {RETRY_MS}\n\n"
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    await self._news.wait()
            except TimeoutError:
                yield event("alive", "{}")
                continue
            self._news.clear()
            events, state = "".join(self._events), self._state
            self._events.clear()
            self._state = None
            if told := events + (event("state", state) if state is not None else ""):
                yield told
            if self._over:
                return


class Stream:
    """All of them."""

    def __init__(self, state: Callable[[Kind], str]) -> None:
        """state: the newest, as JSON, as it is seen from there."""
        self._state = state
        self._readers: set[Reader] = set()
        self._changed = asyncio.Event()

    def open(self, kind: Kind, first: list[str]) -> Reader:
        """One more, told `first` and the state at once. Raises Busy."""
        if len(self._readers) >= READERS:
            raise Busy(f"{READERS} windows show this page already", "close one of them")
        reader = Reader(kind)
        for told in first:
            reader.tell(told)
        reader.show(self._state(kind))
        self._readers.add(reader)
        return reader

    def close(self, reader: Reader) -> None:
        """It is gone."""
        self._readers.discard(reader)

    def change(self) -> None:
        """Something of the state is new."""
        self._changed.set()

    def tell(self, told: str, kind: Kind | None = None) -> None:
        """An event for all, or for those in one place."""
        for reader in self._readers:
            if kind in (None, reader.kind):
                reader.tell(told)

    def end(self, kind: Kind) -> None:
        """Those in that place look no longer, once they have what was told them."""
        for reader in self._readers:
            if reader.kind is kind:
                reader.end()

    async def run(self) -> None:
        """Show all changes, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            states = {kind: self._state(kind) for kind in {reader.kind for reader in self._readers}}
            for reader in self._readers:
                reader.show(states[reader.kind])
            await asyncio.sleep(PAUSE)
