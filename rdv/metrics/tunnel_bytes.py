"""How much went through all sessions since the manager started: a count that never goes down, pure.

A session's own counters go with its namespace. What it had last is kept here until
the audit is told of its end, with what it had then.
"""

from __future__ import annotations

from rdv.sessions.traffic import Traffic

_NOTHING = Traffic(0, 0)


class TunnelBytes:
    """The sum over sessions that live and sessions that ended."""

    def __init__(self) -> None:
        self._ended = _NOTHING
        self._living: dict[str, Traffic] = {}
        self._before: dict[str, Traffic] = {}

    def kept(self, session: str, traffic: Traffic) -> None:
        """A session that an earlier manager began had this already: that was counted then."""
        self._before[session] = traffic

    def seen(self, session: str, traffic: Traffic) -> None:
        """A session that lives has this now."""
        former = self._living.get(session, _NOTHING)
        self._living[session] = Traffic(
            max(former.to_onsite, traffic.to_onsite), max(former.from_onsite, traffic.from_onsite)
        )

    def ended(self, session: str, traffic: Traffic | None) -> None:
        """A session is over and had this; None where nobody knows: then what it had last counts."""
        if traffic is not None:
            self.seen(session, traffic)
        last = self._living.pop(session, _NOTHING)
        self._ended = _sum(self._ended, _without(last, self._before.pop(session, _NOTHING)))

    @property
    def total(self) -> Traffic:
        """Bytes each way."""
        total = self._ended
        for session, traffic in self._living.items():
            total = _sum(total, _without(traffic, self._before.get(session, _NOTHING)))
        return total


def _sum(one: Traffic, other: Traffic) -> Traffic:
    return Traffic(one.to_onsite + other.to_onsite, one.from_onsite + other.from_onsite)


def _without(one: Traffic, other: Traffic) -> Traffic:
    return Traffic(max(0, one.to_onsite - other.to_onsite), max(0, one.from_onsite - other.from_onsite))
