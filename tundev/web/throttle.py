"""How often a PIN may be tried: by all clients of a place together, for who tries has many addresses.

Pure but for what it remembers; the caller has the clock.
"""

from __future__ import annotations

FREE = 5
"""Tries in a row that nobody waits for: a person mistypes."""
FIRST_WAIT = 10.0
"""Seconds before the next one; each further try doubles it."""
LONGEST_WAIT = 300.0
"""Seconds. It keeps who means it to 288 tries a day, and a person who has to wait from giving up."""
FORGIVEN = 1800.0
"""Seconds without a try after which one of those before is forgotten."""


class Throttle:
    """Counts each try before it is judged, so that tries made at once do not slip through together."""

    def __init__(self) -> None:
        self._tries = 0
        self._last = 0.0

    def take(self, now: float) -> float:
        """Try, at `now` in seconds of a monotonic clock: 0, or the seconds to wait, and nothing was tried."""
        remembered = max(0, self._tries - int((now - self._last) / FORGIVEN))
        over = remembered - FREE
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(over, 16)) if over >= 0 else 0.0
        left = self._last + wait - now
        if left > 0:
            return left
        self._tries, self._last = remembered + 1, now
        return 0.0

    def right(self) -> None:
        """The PIN was right: who knows it has not guessed."""
        self._tries = 0
