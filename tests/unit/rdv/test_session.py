"""The life of a session as a table: what follows from what is seen."""

from __future__ import annotations

from typing import Any

import pytest

from rdv.sessions.session import (
    REATTACH_GRACE,
    SILENCE_LIMIT,
    UP_DEADLINE,
    WORD_SECONDS,
    Facts,
    State,
    next_deadline,
    next_state,
)
from vtunlib.tunnel import Role

BOTH = frozenset(Role)
UP: dict[str, Any] = {"joined": True, "carriers": BOTH, "answered": 100.0}
STILL_UP = UP | {"answered": 100 + REATTACH_GRACE}


def facts(state: State, now: float = 100.0, born: float = 100.0, **seen: Any) -> Facts:
    return Facts(state, now, born, **seen)


@pytest.mark.parametrize(
    ("seen", "then", "why"),
    [
        (facts(State.BIRTH), State.BIRTH, ""),
        (facts(State.BIRTH, joined=True), State.LEGS, "may be dialled"),
        (facts(State.BIRTH, drop="no"), State.ENDED, "no"),
        (facts(State.LEGS, joined=True), State.LEGS, ""),
        (facts(State.LEGS, joined=True, carriers=BOTH), State.LEGS, ""),
        (facts(State.LEGS, joined=True, carriers=frozenset({Role.ONSITE}), answered=99.0), State.LEGS, ""),
        (facts(State.LEGS, **UP), State.UP, "both legs answer"),
        (facts(State.LEGS, now=100 + UP_DEADLINE, joined=True), State.ENDED, "onsite nor the master"),
        (
            facts(State.LEGS, now=100 + UP_DEADLINE, joined=True, carriers=BOTH),
            State.ENDED,
            "no answer through the legs",
        ),
        (facts(State.UP, **UP), State.UP, ""),
        (
            facts(State.UP, joined=True, carriers=frozenset({Role.MASTER}), answered=100.0),
            State.ENDED,
            "leg of the onsite",
        ),
        (facts(State.UP, joined=True, answered=100.0, lost=100.0), State.UP, ""),
        (facts(State.UP, joined=True, answered=100.0, lost=100.0, drop="m1 left"), State.ENDED, "m1 left"),
        (
            facts(State.UP, now=100 + WORD_SECONDS, joined=True, answered=100.0, lost=100.0),
            State.ENDED,
            "leg of the onsite and of the master is down",
        ),
        (facts(State.UP, now=100 + SILENCE_LIMIT, **UP), State.ENDED, "no answer"),
        (facts(State.UP, **UP, drop="the admin"), State.ENDED, "the admin"),
        (facts(State.UP, **UP, unseen={Role.MASTER: "rpi1"}), State.UP, ""),
        (
            facts(State.UP, now=100 + REATTACH_GRACE, **STILL_UP, unseen={Role.MASTER: "rpi1"}),
            State.ENDED,
            "rpi1 did not come back",
        ),
        (facts(State.ENDED, **UP), State.ENDED, ""),
    ],
)
def test_what_follows(seen: Facts, then: State, why: str) -> None:
    decision = next_state(seen)
    assert decision.state is then
    assert why in decision.why


@pytest.mark.parametrize(
    ("seen", "deadline"),
    [
        (facts(State.BIRTH), None),
        (facts(State.LEGS), 100 + UP_DEADLINE),
        (facts(State.UP, **UP), 100 + SILENCE_LIMIT),
        (facts(State.UP, **UP, unseen={Role.MASTER: "rpi1"}), 100 + SILENCE_LIMIT),
        (facts(State.UP, **STILL_UP, unseen={Role.MASTER: "rpi1"}), 100 + REATTACH_GRACE),
        (facts(State.UP, **UP, lost=100.0), 100 + WORD_SECONDS),
        (facts(State.ENDED), None),
    ],
)
def test_when_time_alone_may_change_it(seen: Facts, deadline: float | None) -> None:
    assert next_deadline(seen) == deadline
