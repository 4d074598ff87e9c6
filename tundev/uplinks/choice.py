"""Which of a device's uplinks is to be used, by what was learnt of each; nothing is done here.

The first of them that reaches the RDV server, as the agent's connection and probes tell.
Where none does, the one in use stays: a change would only cost. What is asked when is
part of it: as long as the connection by the one in use stands, that itself is the
proof, a worse one is never asked, and a better one only so that it can be gone back to.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tundev.backoff import Backoff

RETURN_SECONDS = 15.0
"""Between the answers of a better uplink that must answer several times in a row."""
RETURN_TIMES = 3
"""How often it must have answered where it failed before; twice as often for each time it failed again."""
RETURN_TIMES_CAP = 24
SETTLED_SECONDS = 600.0
"""What was in use for so long and then fails has failed once, whatever was before."""
FIRST_SECONDS = 5.0
CAP_SECONDS = 120.0
"""Between two rounds of asking that found nothing, at first and at last: a modem's cost money."""
MOVE_SECONDS = 15.0
"""How long the agent may take to connect by the uplink that was gone back to."""


@dataclass(frozen=True)
class Due:
    """What is to be asked next: which uplink, and when by the clock that all times here are of."""

    link: str
    at: float


@dataclass
class _Record:
    """What is known of one uplink. reason: why it does not reach the server, as far as is known."""

    again: Backoff
    due: float
    answered: int = 0
    strikes: int = 0
    reason: str = ""

    @property
    def demanded(self) -> int:
        """How often in a row it must answer before it is gone back to."""
        if not self.strikes:
            return 1
        return int(min(RETURN_TIMES_CAP, RETURN_TIMES * 2 ** min(self.strikes - 1, 10)))


@dataclass
class Choice:
    """Is told of each event with its time, in seconds; `chosen`, `due` and `standing` follow."""

    uniform: Callable[[float, float], float] = random.uniform
    chosen: str | None = None
    picked: bool = False
    """By hand: nothing is decided then."""
    links: tuple[str, ...] = ()
    """Those that can be chosen now, the best first."""
    _online: str | None = None
    _session: bool = False
    _records: dict[str, _Record] = field(default_factory=dict)
    _since: float = 0.0
    _round: list[str] = field(default_factory=list)
    _next_round: float = 0.0
    _again: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self._again = self._backoff(FIRST_SECONDS)

    def _backoff(self, first: float) -> Backoff:
        return Backoff(first, CAP_SECONDS, self.uniform)

    # events

    def there(self, links: Sequence[str], now: float, *, in_use: str | None = None) -> None:
        """These have an address, a default route and a cable, the best first; in_use: by the routes."""
        former, self.links = self.links, tuple(links)
        for link in links:
            if link not in self._records:
                self._records[link] = _Record(self._backoff(RETURN_SECONDS), now)
            elif link not in former:
                fresh = self._records[link]
                fresh.due, fresh.answered, fresh.reason = now, 0, ""
        if self.chosen not in self.links and not self.picked:
            if self.chosen in former:
                self._failed_in_use(now)
            first = in_use if self.chosen is None and in_use in self.links else None
            self._take(first or self._likely(), now)
        if self.links != former and not self.online:
            self._ask_all(now)

    def agent(self, link: str | None, now: float, *, session: bool = False) -> None:
        """By which uplink the agent is connected now, None for not; whether it is in a session."""
        was_online, self._online, self._session = self.online, link, session
        if was_online and not self.online:
            self._ask_all(now)
        elif self.online:
            self._round = []
            self._of_chosen().reason = ""
            # They are not asked from now on: why the server was not reached says nothing of today.
            for worse in self.links[len(self._better()) :]:
                self._records[worse].reason = ""
            self._go_back(now)

    def answered(self, link: str, failure: str, now: float) -> None:
        """What came of asking an uplink: nothing, where it reaches the server, or why it does not."""
        record = self._records.get(link)
        if record is None or link not in self.links:
            return
        record.reason = failure
        record.due = now + RETURN_SECONDS
        if failure:
            record.answered = 0
            record.strikes = max(record.strikes, 1)
            record.due += record.again.next()
        else:
            record.answered += 1
            record.again = self._backoff(RETURN_SECONDS)
        if self.online:
            self._go_back(now)
        else:
            self._answered_in_round(link, failure, now)

    def pick(self, link: str | None, now: float) -> None:
        """By hand: this one, whether it reaches the server or not; None: as it is decided here."""
        self.picked = link is not None
        if link is None and self.chosen not in self.links:
            link = self._likely()
        if link is not None:
            self._take(link, now)
        if not self.picked:
            self._ask_all(now)

    # what follows

    @property
    def online(self) -> bool:
        """Whether the connection by the chosen one stands."""
        return self._online is not None and self._online == self.chosen

    def due(self, now: float) -> Due | None:
        """What to ask next; None where nothing has to be known, as with only one uplink."""
        if self.picked or len(self.links) < 2:
            return None
        if not self.online:
            return Due(self._round[0], now) if self._round else Due(self.links[0], self._next_round)
        better = [Due(link, self._records[link].due) for link in self._better()]
        return min(better, key=lambda one: one.at) if better else None

    def reason(self, link: str) -> str:
        """Why it does not reach the server; empty where it does, or was not asked."""
        record = self._records.get(link)
        return record.reason if record else ""

    def returning(self, link: str) -> bool:
        """Whether it is better than the one in use and reaches the server."""
        return link in self._better() and self._records[link].answered > 0

    def _better(self) -> tuple[str, ...]:
        return self.links[: self.links.index(self.chosen)] if self.chosen in self.links else ()

    # decisions

    def _of_chosen(self) -> _Record:
        assert self.chosen is not None
        return self._records[self.chosen]

    def _take(self, link: str | None, now: float) -> None:
        if link != self.chosen:
            self.chosen, self._since = link, now

    def _likely(self) -> str | None:
        """The first that is not known to fail, or else the first."""
        hopeful = [link for link in self.links if not self._records[link].reason]
        return next(iter(hopeful or self.links), None)

    def _failed_in_use(self, now: float) -> None:
        record = self._of_chosen()
        record.strikes = 1 if now - self._since >= SETTLED_SECONDS else record.strikes + 1
        record.answered = 0

    def _go_back(self, now: float) -> None:
        """To the best one that has answered often enough, unless that would cut a session off."""
        if self._session or self.picked:
            return
        for link in self._better():
            if self._records[link].answered >= self._records[link].demanded:
                self._take(link, now)
                self._next_round = now + MOVE_SECONDS
                return

    def _ask_all(self, now: float) -> None:
        """Each in its turn, from the best on, until one reaches the server."""
        self._round, self._next_round = list(self.links), now
        self._again = self._backoff(FIRST_SECONDS)

    def _answered_in_round(self, link: str, failure: str, now: float) -> None:
        if not self._round:  # the first of a new round
            self._round = list(self.links)
        if failure:
            self._round = [other for other in self._round if other != link]
        else:
            if self.chosen is not None and link != self.chosen and self._of_chosen().reason:
                self._failed_in_use(now)
            self._take(link, now)
            self._round = []
        if not self._round:
            self._next_round = now + FIRST_SECONDS + self._again.next()
