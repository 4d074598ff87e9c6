"""The mark of a restore that runs, or was interrupted: by it every command of rdv-admin knows."""

from __future__ import annotations

import os
from pathlib import Path

FILE = Path("etc/rdv/.restoring")
"""Below the root. It names the units to start again."""


def marked(root: Path = Path("/")) -> list[str] | None:
    """The units that an interrupted restore has stopped; None where none was interrupted."""
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return text.split()


def mark(units: list[str], root: Path = Path("/")) -> None:
    """From here on this server is neither as before nor as in the backup."""
    with (root / FILE).open("w", encoding="utf-8") as file:
        file.write("\n".join(units))
    os.sync()


def unmark(root: Path = Path("/")) -> None:
    """All is in place."""
    (root / FILE).unlink(missing_ok=True)
