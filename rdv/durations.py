"""Lengths of time as an admin types them: `30m`, `12h`, `7d`."""

from __future__ import annotations

import datetime
import re

from vtunlib.errors import UsageError

_FORM = re.compile(r"([0-9]{1,4})(min|[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse(text: str) -> datetime.timedelta:
    """The length of time. Raises UsageError."""
    found = _FORM.fullmatch(text)
    if not found or not int(found[1]):
        raise UsageError(f"{text!r} is no length of time", "expected a number and s, m, h, d or w, as in 7d")
    return datetime.timedelta(**{_UNITS[found[2]]: int(found[1])})
