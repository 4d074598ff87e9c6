"""A device's pace: a burst is free, a flood is held to the rate, a pause gives the burst back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdv.pace import Pace


def test_a_burst_is_free_and_what_follows_is_not() -> None:
    pace = Pace(burst=3, rate=2.0)
    assert [pace.take(100.0) for _ in range(3)] == [0.0] * 3
    assert pace.take(100.0) == pytest.approx(0.5)
    assert pace.take(100.5) == 0.0
    assert pace.take(100.5) == pytest.approx(0.5)


def test_a_pause_gives_the_burst_back_and_no_more() -> None:
    pace = Pace(burst=2, rate=1.0)
    for _ in range(2):
        pace.take(0.0)
    assert [pace.take(1000.0) for _ in range(2)] == [0.0, 0.0]
    assert pace.take(1000.0) > 0


@given(st.lists(st.floats(0, 0.5), max_size=200))
def test_in_the_long_run_nobody_is_faster_than_the_rate(gaps: list[float]) -> None:
    pace, now, taken = Pace(burst=5, rate=10.0), 50.0, 0
    for gap in gaps:
        now += gap
        taken += pace.take(now) == 0.0
    assert taken <= 5 + (now - 50.0) * 10.0 + 1e-6


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    pace = Pace(burst=1, rate=1.0)
    assert pace.take(10.0) == 0.0
    assert pace.take(9.0) > 0 and pace.take(9.0) > 0
