"""When a rule holds: weekdays, over midnight, and on the days on which the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdv.access.hours import ALWAYS, parse

PARIS = ZoneInfo("Europe/Paris")
"""Clocks change on 2026-03-29 at 2:00 to 3:00 and on 2026-10-25 at 3:00 to 2:00."""


def at(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS, fold=fold)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("Mon-Fri 07:00-19:00", "2026-11-25 07:00", "2026-11-25 06:59:59"),
        ("Mon-Fri 07:00-19:00", "2026-11-25 18:59:59", "2026-11-25 19:00"),
        ("Mon-Fri 07:00-19:00", "2026-11-27 12:00", "2026-11-28 12:00"),
        ("Sat,Sun", "2026-11-28 00:00", "2026-11-30 00:00"),
        ("Sat-Mon", "2026-11-30 23:59:59", "2026-12-01 00:00"),
        ("Wed", "2026-11-25 23:59:59", "2026-11-26 00:00"),
        ("12:00-24:00", "2026-11-25 23:59:59", "2026-11-25 11:59"),
        ("22:00-06:00", "2026-11-25 05:59", "2026-11-25 06:00"),
        ("22:00-06:00", "2026-11-25 22:00", "2026-11-25 21:59"),
        # Over midnight it belongs to the day on which it began.
        ("Fri 22:00-06:00", "2026-11-28 05:59", "2026-11-27 05:59"),
        ("Sun 22:00-06:00", "2026-11-30 05:59", "2026-11-29 05:59"),
        ("08:00:30-08:00:31", "2026-11-25 08:00:30", "2026-11-25 08:00:31"),
        (["Mon 08:00-09:00", "Wed 10:00-11:00"], "2026-11-25 10:30", "2026-11-25 08:30"),
    ],
)
def test_a_window_is_open_between_its_ends(hours: object, inside: str, outside: str) -> None:
    assert parse(hours).cover(at(inside), PARIS)
    assert not parse(hours).cover(at(outside), PARIS)


@pytest.mark.parametrize(
    ("hours", "now", "then"),
    [
        ("Mon-Fri 07:00-19:00", "2026-11-25 12:00", "2026-11-25 19:00"),
        ("Mon-Fri 07:00-19:00", "2026-11-25 19:00", "2026-11-26 07:00"),
        ("Mon-Fri 07:00-19:00", "2026-11-27 20:00", "2026-11-30 07:00"),
        ("Fri 22:00-06:00", "2026-11-28 01:00", "2026-11-28 06:00"),
        ("Wed", "2026-11-26 00:00", "2026-12-02 00:00"),
        (["08:00-09:00", "08:30-10:00"], "2026-11-25 08:10", "2026-11-25 08:30"),
    ],
)
def test_the_next_change_is_known_beforehand(hours: object, now: str, then: str) -> None:
    assert parse(hours).next_change(at(now), PARIS) == at(then)


def test_a_day_of_23_or_25_hours_begins_and_ends_by_the_wall_clock() -> None:
    sunday = parse("Sun")
    for day, length in (("2026-03-29", 23), ("2026-10-25", 25)):
        begin = at(f"{day} 00:00")
        end = sunday.next_change(begin, PARIS)
        assert end is not None
        assert end - begin.astimezone(UTC) == timedelta(hours=length)
        assert sunday.cover(end - timedelta(seconds=1), PARIS) and not sunday.cover(end, PARIS)


def test_working_hours_are_the_wall_clock_s_on_both_sides_of_a_change() -> None:
    hours = parse("07:00-19:00")
    for day in ("2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25"):
        assert hours.cover(at(f"{day} 07:00"), PARIS) and not hours.cover(at(f"{day} 19:00"), PARIS)


def test_an_end_in_the_hour_that_is_skipped_comes_as_if_the_clock_stood() -> None:
    hours = parse("01:00-02:30")
    assert hours.next_change(at("2026-03-29 01:30"), PARIS) == at("2026-03-29 03:30")


def test_an_end_in_the_hour_that_comes_twice_is_the_first() -> None:
    hours = parse("01:00-02:30")
    assert hours.cover(at("2026-10-25 02:29"), PARIS)
    assert not hours.cover(at("2026-10-25 02:29", fold=1), PARIS)


@given(
    st.integers(0, 2 * 365 * 24 * 3600).map(
        lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s)
    ),
    st.sampled_from(["Mon-Fri 07:00-19:00", "22:00-06:00", "Sat,Sun", "02:15-02:45", "Sun 23:00-03:00"]),
)
def test_between_two_changes_nothing_changes(now: datetime, text: str) -> None:
    """What the deadline of a session rests on."""
    hours = parse(text)
    then = hours.next_change(now, PARIS)
    assert then is not None
    state = hours.cover(now, PARIS)
    for part in (0.25, 0.5, 0.999999):
        assert hours.cover(now + (then - now) * part, PARIS) == state


def test_without_hours_a_rule_always_holds() -> None:
    assert ALWAYS.cover(at("2026-11-25 03:00")) and ALWAYS.next_change(at("2026-11-25 03:00")) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Mon-Fry 07:00-19:00", "'Fry' is none of Mon"),
        ("mon 07:00-19:00", "'mon' is none of Mon"),
        ("Mon-Fri 7:00-19:00", "'7:00' is no time"),
        ("Mon 07:60-19:00", "'07:60' is no time"),
        ("24:01-25:00", "'24:01' is no time"),
        ("24:00-06:00", "24:00 is an end only"),
        ("Mon 07:00", "'07:00' has no end"),
        ("08:00-08:00", "for the whole day leave the time out"),
        ("Mon 08:00-09:00 Tue", "'Tue' is too much"),
        ("Mon, Tue", "'' is none of"),
        ("", "it is empty"),
        ([], "or a list of these"),
        (7, "or a list of these"),
    ],
)
def test_what_is_no_hours_is_refused_with_what_was_expected(text: object, told: str) -> None:
    with pytest.raises(ValueError, match="hours as in") as raised:
        parse(text)
    assert told in str(raised.value)
