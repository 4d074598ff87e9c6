"""Changes one value in a TOML text and leaves every other byte of it.

tomllib tells no lines. What may be the value's lines is changed, and taken if the
text then says just what it is to say.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from typing import Any

from vtunlib.errors import ConfigError


def without(text: str, where: Sequence[str]) -> str:
    """`text` without the lines of that key, tables first. Raises ConfigError where they cannot be told."""
    wanted = tomllib.loads(text)
    table = _table(wanted, where)
    if table is None:
        return text
    del table[where[-1]]
    return _edited(text, where, wanted, lambda _: "")


def with_value(text: str, where: Sequence[str], value: str | None) -> str:
    """`text` with the string `value` for that key, on one line; None: an empty line stands for it.

    Lines after it keep their numbers where its value was on one line. Raises ConfigError
    where no lines can be told.
    """
    wanted = tomllib.loads(text)
    table = _table(wanted, where)
    if table is None:
        return text
    if value is None:
        del table[where[-1]]
        return _edited(text, where, wanted, _end_of)
    table[where[-1]] = value
    # JSON's strings are TOML's basic strings, but for DEL, which TOML wants escaped.
    literal = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return _edited(text, where, wanted, lambda line: f"{line.partition('=')[0]}= {literal}{_end_of(line)}")


def value_of(values: Any, where: Sequence[str]) -> object:
    """What the parsed file has for that key; None where it is not there."""
    table = _table(values, where)
    return None if table is None else table[where[-1]]


def _table(values: Any, where: Sequence[str]) -> dict[str, Any] | None:
    """The table that has the key; None where nothing has."""
    for name in where[:-1]:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) and where[-1] in values else None


def _end_of(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _edited(text: str, where: Sequence[str], wanted: dict[str, Any], instead: Callable[[str], str]) -> str:
    """`text` with its key's lines made one, by their first; what it then says is `wanted`."""
    quoted = rf"[\"']?{re.escape(where[-1])}[\"']?"
    begins = re.compile(rf"\s*(?:[\w\"'-]+\s*\.\s*)*{quoted}\s*=")
    wanted = copy.deepcopy(wanted)
    # Only where TOML ends a line: a string may hold what Python takes for an end, too.
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    for first, line in enumerate(lines):
        if not begins.match(line):
            continue
        for end in range(first + 1, len(lines) + 1):
            made = "".join([*lines[:first], instead(line), *lines[end:]])
            try:
                if tomllib.loads(made) == wanted:
                    return made
            except tomllib.TOMLDecodeError:
                continue  # the value goes on
    raise ConfigError(
        f"the lines of {where[-1]} cannot be told", "take it out by hand, or write it on lines of its own"
    )
