"""How often the card may be written to: at once after a calm, ever more seldom while it goes on changing."""

from __future__ import annotations

FIRST_SECONDS = 10.0
CAP_SECONDS = 3600.0
"""A device that flaps for a year writes its card 8,800 times, a file of one block each."""


class Pace:
    """When the next write may be. Times are those of one clock, in seconds."""

    def __init__(self, first: float = FIRST_SECONDS, cap: float = CAP_SECONDS) -> None:
        self._first = first
        self._cap = cap
        self._gap = first
        self._last: float | None = None

    def wait(self, now: float) -> float:
        """Seconds until a write is due."""
        return 0.0 if self._last is None else max(0.0, self._last + self._gap - now)

    def wrote(self, now: float) -> None:
        """The next gap is twice this one; after a calm of CAP_SECONDS beyond it, it is the first again."""
        calm = self._last is None or now - self._last > self._gap + self._cap
        self._gap = self._first if calm else min(self._cap, self._gap * 2)
        self._last = now
