"""What strangers can cause as often as they like must not push everything else out of a bounded store.

Refusals are kept one by one as long as they are few; of a flood every so many are
kept, with the number of those left out. Pure but for the instant that it is given.
"""

from __future__ import annotations

import dataclasses

from rdv.audit.events import Event, Kind

BURST = 200
"""Refusals of a kind that are kept however fast they come."""
PER_SECOND = 0.1
"""How many of a lasting flood are kept: 8,640 a day, about 2 MiB."""
KINDS = frozenset({Kind.REFUSED, Kind.SESSION_REFUSED})


class Flood:
    """Counts the events of each of KINDS."""

    def __init__(self) -> None:
        self._room = dict.fromkeys(KINDS, float(BURST))
        self._last = dict.fromkeys(KINDS, 0.0)
        self._left_out = dict.fromkeys(KINDS, 0)

    def passed(self, event: Event, now: float) -> Event | None:
        """The event as it is to be kept, or None where it is left out. now: seconds, monotonic."""
        kind = event.kind
        if kind not in KINDS:
            return event
        self._room[kind] = min(BURST, self._room[kind] + PER_SECOND * (now - self._last[kind]))
        self._last[kind] = now
        if self._room[kind] < 1:
            self._left_out[kind] += 1
            return None
        self._room[kind] -= 1
        count, self._left_out[kind] = self._left_out[kind], 0
        return dataclasses.replace(event, more={**event.more, "left_out": count}) if count else event
