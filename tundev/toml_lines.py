"""Changes one value in a TOML text and leaves every other byte of it.

tomllib tells no lines, so the text is cut into statements here, and only that: what each
says is the parser's to tell. What is changed is taken if the text then says just what it is to say.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from tundev.toml_text import fault, values_of

# Strings of four kinds (one in """ may end with two quotes of its own), comments, brackets, ends of line:
# what stands between these neither begins a statement nor ends one.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|'
    r"'''.*?'{3,5}|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'|"
    r"#[^\n]*|[][{}]|\n",
    re.DOTALL,
)


def without(text: str, where: Sequence[str], name: str) -> str:
    """`text` without the lines of that key, tables first; name stands for the file in errors.

    Raises ConfigError where they cannot be told, or on no TOML.
    """
    wanted = values_of(text, name)
    table = _table(wanted, where)
    if table is None:
        return text
    del table[where[-1]]
    return _edited(text, where, name, wanted, lambda _: "")


def with_value(text: str, where: Sequence[str], value: str | None, name: str) -> str:
    """`text` with the string `value` for that key, on one line; None: an empty line stands for it.

    Lines after it keep their numbers where its value was on one line. Errors as `without`.
    """
    wanted = values_of(text, name)
    table = _table(wanted, where)
    if table is None:
        return text
    if value is None:
        del table[where[-1]]
        return _edited(text, where, name, wanted, _end_of)
    table[where[-1]] = value
    # JSON's strings are TOML's basic strings, but for DEL, which TOML wants escaped.
    literal = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return _edited(
        text, where, name, wanted, lambda lines: f"{lines.partition('=')[0]}= {literal}{_end_of(lines)}"
    )


def value_of(values: Any, where: Sequence[str]) -> object:
    """What the parsed file has for that key; None where it is not there."""
    table = _table(values, where)
    return None if table is None else table[where[-1]]


def _table(values: Any, where: Sequence[str]) -> dict[str, Any] | None:
    """The table that has the key; None where nothing has."""
    for name in where[:-1]:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) and where[-1] in values else None


def _end_of(lines: str) -> str:
    return lines[len(lines.rstrip("\r\n")) :]


def _edited(
    text: str, where: Sequence[str], name: str, wanted: dict[str, Any], instead: Callable[[str], str]
) -> str:
    """`text` with its key's lines made one; what it then says is `wanted`."""
    table = ".".join(where[:-1])
    # A part of the text may be no TOML, or nested too deeply, though the whole is neither.
    with suppress(ValueError, RecursionError):
        for start, end in _setting(text, where):
            made = f"{text[:start]}{instead(text[start:end])}{text[end:]}"
            if tomllib.loads(made) == wanted:
                return made
    raise fault(name, text, table, where[-1], f"expected it on a line of its own, below [{table}]")


def _setting(text: str, where: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Begin and end of the statement that sets that key by its name, not as part of a table's value."""
    quoted = rf"[\"']?{re.escape(where[-1])}[\"']?"
    begins = re.compile(rf"\s*(?:[\w\"'-]+\s*\.\s*)*{quoted}\s*=")
    inside: list[str] = []
    for start, end in _statements(text):
        if text[start:end].lstrip().startswith("["):
            inside = _path(tomllib.loads(text[start:end]))
        elif (
            begins.match(text, start, end)
            and inside == list(where[: len(inside)])
            and value_of(tomllib.loads(text[start:end]), where[len(inside) :]) is not None
        ):
            yield start, end


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each statement of a text that is TOML, its end of line with it."""
    start = depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
        elif token[0] in ("]", "}"):
            depth -= 1
        elif token[0] == "\n" and not depth:
            yield start, token.end()
            start = token.end()
    if start < len(text):
        yield start, len(text)


def _path(header: Any) -> list[str]:
    """The names in the header of a table, which is all that was parsed."""
    path = []
    while isinstance(header, dict) and header:
        ((name, header),) = header.items()
        path.append(name)
    return path
