"""Hours in which a rule holds: text to windows of time, and whether an instant is in one. Pure.

A window begins and ends at an instant, found from the wall clock of a time zone.
So it is always exact when it ends next, also on the days on which the clocks
change: what begins or ends in the hour that is skipped does so as if the clock
had not been put forward, and in the hour that comes twice the first one counts.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass

FORM = 'hours as in "Mon-Fri 07:00-19:00", "Sat,Sun" or "22:00-06:00"'

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EVERY_DAY = frozenset(range(7))
_DAY_SECONDS = 24 * 3600
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?")


@dataclass(frozen=True)
class Window:
    """From `begin` to `end`, in seconds from the midnight with which a day begins.

    days: on which it begins, as of date.weekday(). end: may be on the day after.
    """

    days: frozenset[int]
    begin: int
    end: int

    def on(
        self, day: datetime.date, zone: datetime.tzinfo | None
    ) -> tuple[datetime.datetime, datetime.datetime]:
        """The instants of the one that begins on this day."""
        return _instant(day, self.begin, zone), _instant(day, self.end, zone)


@dataclass(frozen=True)
class Hours:
    """When a rule holds; without a window always. texts: as the admin wrote them.

    zone, where it is asked for, is that of the wall clock; None is the server's own.
    """

    windows: tuple[Window, ...] = ()
    texts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(self.texts) or "always"

    def cover(self, at: datetime.datetime, zone: datetime.tzinfo | None = None) -> bool:
        """Whether the rule holds at this instant."""
        return not self.windows or any(begin <= at < end for begin, end in self._around(at, zone))

    def next_change(
        self, at: datetime.datetime, zone: datetime.tzinfo | None = None
    ) -> datetime.datetime | None:
        """The next instant at which a window begins or ends; None where that never happens."""
        edges = (edge for window in self._around(at, zone) for edge in window if edge > at)
        return min(edges, default=None)

    def _around(
        self, at: datetime.datetime, zone: datetime.tzinfo | None
    ) -> Iterator[tuple[datetime.datetime, datetime.datetime]]:
        """All windows that are open at `at` or begin within a week of it."""
        today = at.astimezone(zone).date()
        for offset in range(-1, 8):
            day = today + datetime.timedelta(days=offset)
            for window in self.windows:
                if day.weekday() in window.days:
                    yield window.on(day, zone)


ALWAYS = Hours()


def parse(value: object) -> Hours:
    """The hours that a text, or a list of texts, says. ValueError tells what was expected."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{FORM}, or a list of these")
    return Hours(tuple(map(_window, texts)), tuple(texts))


def _window(text: str) -> Window:
    words = text.split()
    days, begin, end = _EVERY_DAY, 0, _DAY_SECONDS
    if words and ":" not in words[0]:
        days = _days(words.pop(0), text)
    elif not words:
        raise _wrong(text, "it is empty")
    if words:
        begin, end = _span(words.pop(0), text)
    if words:
        raise _wrong(text, f"{words[0]!r} is too much; a list has each in a text of its own")
    return Window(days, begin, end)


def _days(word: str, text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        first, dash, last = part.partition("-")
        for name in (first, last) if dash else (first,):
            if name not in _DAYS:
                raise _wrong(text, f"{name!r} is none of {' '.join(_DAYS)}")
        one = _DAYS.index(first)
        count = (_DAYS.index(last) - one) % 7 if dash else 0
        found |= {(one + step) % 7 for step in range(count + 1)}
    return frozenset(found)


def _span(word: str, text: str) -> tuple[int, int]:
    first, dash, last = word.partition("-")
    if not dash:
        raise _wrong(text, f"{word!r} has no end")
    begin, end = _seconds(first, text), _seconds(last, text)
    if begin == _DAY_SECONDS:
        raise _wrong(text, "24:00 is an end only")
    if begin == end:
        raise _wrong(text, "it begins when it ends; for the whole day leave the time out")
    return begin, end if end > begin else end + _DAY_SECONDS


def _seconds(word: str, text: str) -> int:
    found = _TIME.fullmatch(word)
    if found is None:
        raise _wrong(text, f"{word!r} is no time")
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    total = hour * 3600 + minute * 60 + second
    if minute > 59 or second > 59 or total > _DAY_SECONDS:
        raise _wrong(text, f"{word!r} is no time")
    return total


def _wrong(text: str, why: str) -> ValueError:
    return ValueError(f"{FORM}; in {text!r}: {why}")


def _instant(day: datetime.date, seconds: int, zone: datetime.tzinfo | None) -> datetime.datetime:
    # Within one zone Python counts by the wall clock, whatever happens to the clocks on that day.
    midnight = datetime.datetime.combine(day, datetime.time(), zone)
    return (midnight + datetime.timedelta(seconds=seconds)).astimezone(datetime.UTC)
