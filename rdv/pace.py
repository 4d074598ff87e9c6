"""How fast one device may go: a token bucket, pure.

No device that works as it should ever meets it. It keeps one that floods from taking the
time of the shell, and through it the manager's, from all others.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Pace:
    """At most `burst` at once, and `rate` a second in the long run."""

    burst: int
    rate: float
    _left: float | None = None
    _seen: float = 0.0

    def take(self, now: float) -> float:
        """Take one; 0.0, or the seconds after which it may be had. now: seconds of a monotonic clock.

        One that may not be had yet is not taken.
        """
        left = self.burst if self._left is None else self._left
        left = min(float(self.burst), left + max(0.0, now - self._seen) * self.rate)
        self._seen = now
        if left < 1.0:
            self._left = left
            return (1.0 - left) / self.rate
        self._left = left - 1.0
        return 0.0
