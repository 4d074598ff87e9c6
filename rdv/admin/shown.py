"""Lengths of time, amounts and tables as an admin reads them."""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_NARROW = 40
"""Columns: a terminal that is narrower is not believed."""


def length(seconds: float) -> str:
    """A length of time by its two greatest units: `3 d 4 h`, `12 min 5 s`, `0 s`."""
    rest = max(0, int(seconds))
    for (unit, size), following in zip(_UNITS, (*_UNITS[1:], None), strict=True):
        if rest >= size or following is None:
            whole, rest = divmod(rest, size)
            less = rest // following[1] if following else 0
            return f"{whole} {unit} {less} {following[0]}" if following and less else f"{whole} {unit}"
    raise AssertionError("the last unit takes whatever is left")


def since(instant: str, now: datetime.datetime) -> str:
    """How long ago an instant in ISO 8601 was."""
    return length((now - datetime.datetime.fromisoformat(instant)).total_seconds())


def size(count: int) -> str:
    """Bytes by powers of 1000, three digits: `999 B`, `1.23 MB`, `45.6 GB`."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.5 or unit == "TB":
            break
    return f"{amount:.{2 if amount < 9.995 else 1 if amount < 99.95 else 0}f} {unit}"


def cell(row: Mapping[str, Any], key: str) -> str:
    """What a table has for `key`; a dash where there is nothing to tell."""
    value = row.get(key)
    return "-" if value in (None, "") else str(value)


def width() -> int | None:
    """How many columns the terminal has; None where it is not a terminal that is written to."""
    if not sys.stdout.isatty():
        return None
    return max(_NARROW, shutil.get_terminal_size().columns)


def fitted(text: str, columns: int | None) -> str:
    """Each line no longer than that, cut off where it is; None: as they are."""
    lines = text.splitlines()
    if columns is not None:
        lines = [line if len(line) <= columns else f"{line[: columns - 1]}…" for line in lines]
    return "\n".join(lines)


def heading(title: str, lines: Sequence[str]) -> list[str]:
    """A part of a screen: its title, and its lines below."""
    return ["", title, *(f"  {line}" for line in lines)]
