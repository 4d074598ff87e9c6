"""How long to wait before the next attempt: exponential, full jitter, capped.

Full jitter (any time between nothing and the present ceiling) spreads a fleet
that lost its server at one moment over the whole of the ceiling.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vtunlib.errors import TakenOver

FIRST_SECONDS = 1.0
CAP_SECONDS = 60.0
SETTLED_SECONDS = 5.0
"""A server that takes a connection and drops it at once is not dialled any faster for it."""
CONTESTED_SECONDS = 300.0
"""Well over CAP_SECONDS: two that contest an identity never reach it."""


class Backoff:
    """Delays of a series of failures; a connection that was good (`connected`) begins a new series."""

    def __init__(
        self,
        first: float = FIRST_SECONDS,
        cap: float = CAP_SECONDS,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """first and cap: the ceiling of the first delay and of all, in seconds."""
        self._first = first
        self._cap = cap
        self._uniform = uniform
        self._ceiling = first

    def next(self) -> float:
        """The next delay, in seconds."""
        delay = self._uniform(0.0, self._ceiling)
        self._ceiling = min(self._cap, self._ceiling * 2)
        return delay

    @contextmanager
    def connection(self) -> Iterator[None]:
        """What the last attempt led to, for as long as it lasts."""
        began = time.monotonic()
        taken_over = False
        try:
            yield
        except TakenOver:
            taken_over = True
            raise
        finally:
            self.connected(time.monotonic() - began, taken_over=taken_over)

    def connected(self, seconds: float, *, taken_over: bool) -> None:
        """The last attempt led to a connection that lasted so long; a good one begins a new series.

        taken_over: another device with the same identity ended it. The two would throw
        each other out as fast as they can dial, if each began with short delays again.
        """
        if seconds >= (CONTESTED_SECONDS if taken_over else SETTLED_SECONDS):
            self._ceiling = self._first
