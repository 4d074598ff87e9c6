"""Lengths of time as an admin types them."""

from __future__ import annotations

import datetime

import pytest

from rdv import durations
from vtunlib.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("30m", 1800), ("30min", 1800), ("12h", 43200), ("7d", 604800), ("1w", 604800)],
)
def test_a_length_of_time_is_taken_as_a_person_means_it(text: str, seconds: int) -> None:
    assert durations.parse(text) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "7y", "-7d", "7 d", "10000d", "٣h", "7d\n"])
def test_what_is_none_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match="expected a number and s, m, h, d or w"):
        durations.parse(text)
