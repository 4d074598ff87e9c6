"""Lists as a person reads them: columns as wide as what stands in them."""

from __future__ import annotations

from collections.abc import Sequence

from vtunlib.errors import printable


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Titles and rows in columns; what is not printable is replaced."""
    shown = [list(titles), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(titles))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    )
