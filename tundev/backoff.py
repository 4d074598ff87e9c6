"""How long to wait before the next attempt: exponential, full jitter, capped.

Full jitter (any time between nothing and the present ceiling) spreads a fleet
that lost its server at one moment over the whole of the ceiling.
"""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_SECONDS = 1.0
CAP_SECONDS = 60.0


class Backoff:
    """Delays of a series of failures; `reset` begins a new series."""

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

    def reset(self) -> None:
        """The last attempt succeeded."""
        self._ceiling = self._first
