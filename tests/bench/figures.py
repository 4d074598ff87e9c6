"""A measured figure, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vtunlib.table import table


@dataclass(frozen=True)
class Figure:
    """rounds: how many measurements it stands for."""

    what: str
    value: float
    unit: str
    rounds: int


def shown(figures: Sequence[Figure]) -> str:
    """As a person reads them."""
    rows = [
        [f.what, f"{f.value:.2f}" if f.unit == "s" else f"{f.value:.0f}", f.unit, str(f.rounds)]
        for f in figures
    ]
    return table(("WHAT", "VALUE", "UNIT", "ROUNDS"), rows)
