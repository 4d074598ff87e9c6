"""What a boot has found and done before the agents, kept in /run for the report.

Written by the services that end before the report begins, each its own key.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tundev import paths
from vtunlib import files

FILE = paths.RUN / "firstboot.json"


@dataclass(frozen=True)
class Outcome:
    """All texts are for a person; None for what has not happened."""

    fault: str | None = None
    """Why the boot partition's file was not taken over."""
    hindered: str | None = None
    """Why it could not be, where that is no fault of the file."""
    damaged: str | None = None
    """What it was in place of a text, so that the former one was put back."""
    misnamed: str | None = None
    """Files on the boot partition that are meant to be it, by name."""
    exposed: str | None = None
    """Other files there that hold a device's secrets, by name."""
    untidied: str | None = None
    """Why its secrets are still on the boot partition."""
    remade: str | None = None
    """Why the data partition was made anew."""
    broken: str | None = None
    """Why there is no data partition."""


def write(outcome: Outcome, file: Path = FILE) -> None:
    """Keep it for the report. Raises OSError."""
    file.parent.mkdir(mode=0o755, exist_ok=True)  # the first of them runs before systemd-tmpfiles
    files.replace(file, json.dumps(asdict(outcome)).encode(), mode=0o644)


def read(file: Path = FILE) -> Outcome:
    """As it was kept; nothing has happened where there is none."""
    try:
        values = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return Outcome()
    known = {field.name for field in fields(Outcome)}
    return Outcome(**{key: value for key, value in values.items() if key in known})
