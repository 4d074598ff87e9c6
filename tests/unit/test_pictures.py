"""The pictures in the docs: each that is shown is there and small, and none is there in vain."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
MOST = 150 * 1024
"""Bytes: a reader on a slow line waits for each."""


def shown() -> set[str]:
    """The pictures that some page shows."""
    return {
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"images/([a-z0-9-]+\.png)", page.read_text(encoding="utf-8"))
    }


def test_what_the_docs_show_is_there_and_nothing_else() -> None:
    assert shown()
    assert {path.name for path in (DOCS / "images").iterdir()} == shown()


def test_no_picture_is_large() -> None:
    assert {path.name for path in (DOCS / "images").iterdir() if path.stat().st_size > MOST} == set()
