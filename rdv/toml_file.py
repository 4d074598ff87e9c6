"""Reading the admin's TOML files: every fault names the file, the line, the key and what was expected."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from vtunlib.errors import ConfigError, NotFound


def read(path: Path) -> tuple[dict[str, Any], str]:
    """The file as data and as text. Raises NotFound, ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}", "expected TOML, https://toml.io") from None


def fault(path: Path, text: str, key: str, expected: str, skip: int = 0) -> ConfigError:
    """The error for a wrong `key`; skip: how many lines with that key to pass over."""
    return ConfigError(f"{path}:{line_of(text, key, skip)}: {key}", f"expected {expected}")


def line_of(text: str, key: str, skip: int = 0) -> int:
    """The line, from 1, on which `key` stands for the first time after `skip` others; 1 where it does not."""
    found = re.compile(rf"\s*(\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*[\]=.]")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if found.match(line)]
    return lines[min(skip, len(lines) - 1)] if lines else 1
