"""Whether two devices use one identity, from how connections of an account take over from each other.

A device that dials again while its old connection still counts as up takes over from
itself: on a bad line that happens about once a minute, for the loss of a connection
takes both sides 45 s to notice. Two that have the same key take over from each other
for ever. It is given each takeover with its instant, and does no I/O.
"""

from __future__ import annotations

import datetime
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

WINDOW = datetime.timedelta(minutes=10)
ALTERNATIONS = 6
"""Times within WINDOW that a place takes over from another one, which makes two places of it: a
device that moves between two networks does so once a move, a clone every few seconds."""
TAKEOVERS = 20
"""The same from one address, as behind one NAT: more often than one device can lose its connection."""
QUIET = datetime.timedelta(minutes=15)
"""Without a takeover for so long it is over. Over two full pauses of a device (tundev.backoff)."""


@dataclass(frozen=True)
class Takeover:
    """A connection of the account took another one's place. Addresses are empty where not known."""

    at: datetime.datetime
    former: str
    new: str


@dataclass
class Takeovers:
    """Those of one account."""

    _recent: deque[Takeover] = field(default_factory=lambda: deque(maxlen=4 * TAKEOVERS))
    reported: bool = False
    """It was called a clone, and has not been quiet since."""

    def add(self, takeover: Takeover) -> tuple[str, ...]:
        """The addresses of the clones, if it has to be called that now and was not before."""
        self._recent.append(takeover)
        while self._recent[0].at <= takeover.at - WINDOW:
            self._recent.popleft()
        addresses = addresses_of_clones(list(self._recent))
        if not addresses or self.reported:
            return ()
        self.reported = True
        return addresses

    def over(self, now: datetime.datetime) -> bool:
        """Whether it was called a clone and is quiet now; it is not called so any more then."""
        if not self.reported or (self._recent and now - self._recent[-1].at < QUIET):
            return False
        self.forget()
        return True

    def forget(self) -> None:
        """Begin anew: another key opens the account."""
        self._recent.clear()
        self.reported = False


def addresses_of_clones(recent: list[Takeover]) -> tuple[str, ...]:
    """From where the two come, one address where both are behind it; empty where it is one device.

    recent: the takeovers within WINDOW.
    """
    places = [(takeover.former, takeover.new) for takeover in recent if takeover.former and takeover.new]
    # There and back again: a device that moves on, to ever new addresses, is not two.
    back = sum(former != new and before == (new, former) for before, (former, new) in pairwise(places))
    if back + 1 >= ALTERNATIONS:
        return tuple(sorted({new for former, new in places if former != new}))
    if len(recent) >= TAKEOVERS:
        return tuple(sorted({takeover.new for takeover in recent if takeover.new}))
    return ()
