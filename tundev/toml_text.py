"""What a person has written as TOML, parsed, or told to be none with its line.

tomllib tells no line of what it has parsed, and knows neither editors nor malice: its own
errors are for who knows TOML, and two of its exceptions are no errors of TOML's at all.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from vtunlib.errors import ConfigError, printable

_CURLY = r"[\u2018-\u201f\u2032\u2033\u00ab\u00bb]"
_TYPOGRAPHIC = re.compile(rf"(?:^|[=,\[])\s*{_CURLY}|{_CURLY}\s*(?:$|[],#=])")
"""What word processors, chats and web pages make of a straight quote, where one is due."""
_LINE = re.compile(r"\(at line ([0-9]+), ")
_NESTED = re.compile(r"[\[{]{50}")
_DIGITS = re.compile(r"[0-9_]{4000}")
"""Python refuses to read a number of more than 4300 (sys.set_int_max_str_digits)."""
_DOTS_LIMIT = 500
"""In a line: the parser's work for a dotted key grows with the square of its parts, to minutes for 64 KiB."""


def values_of(text: str, name: str) -> dict[str, Any]:
    """The parsed `text`; name stands for the file in errors. Raises ConfigError on no TOML."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _DOTS_LIMIT:
            raise ConfigError(f"{name}, line {number}: more than {_DOTS_LIMIT} dots")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not TOML: {error}", _explained(text, str(error))) from None
    except RecursionError:
        what, found = "nested too deeply", _NESTED.search(text)
    except ValueError:
        what, found = "a number of too many digits", _DIGITS.search(text)
    place = f"{name}, line {text.count(chr(10), 0, found.start()) + 1}" if found else name
    raise ConfigError(f"{place}: {what}")


def _explained(text: str, error: str) -> str:
    """What is known of an error of the parser's, for who does not know TOML; empty for most."""
    lines = text.rstrip().split("\n")
    told = _LINE.search(error)  # or else it is "at end of document"
    number = min(int(told[1]), len(lines)) if told else len(lines)
    if _TYPOGRAPHIC.search(lines[number - 1]):
        return f'line {number} has typographic quotes: write straight ones (")'
    return ""


def fault(name: str, text: str, table: str | None, key: str | None, what: str) -> ConfigError:
    """The error that says `what` of a key of the file `name`, with its line in `text`."""
    line = _line_of(text, table, key)
    place = f"{name}, line {line}" if line else name
    subject = " ".join(part for part in (f"[{table}]" if table else "", printable(key or "", 60)) if part)
    return ConfigError(f"{place}: {subject}: {what}")


def _line_of(text: str, table: str | None, key: str | None) -> int | None:
    """The line where `key` of `table` is set, or `table` begins, or else what is around it.

    Good enough for an error: a line inside a multi-line string may be taken for a key.
    """
    wanted = [*(table.split(".") if table else []), *([key] if key is not None else [])]
    inside: list[str] = []
    around: tuple[int, int | None] = (0, None)
    for number, line in enumerate(map(str.lstrip, text.splitlines()), 1):
        if header := re.match(r"\[+([^\]]+)\]", line):
            path = inside = _dotted(header[1])
        elif words := re.match(r"((?:\"[^\"]*\"|'[^']*'|[A-Za-z0-9_.\s-])+)=", line):
            path = [*inside, *_dotted(words[1])]
        else:
            continue
        if path[: len(wanted)] == wanted:
            return number
        if path == wanted[: len(path)]:
            around = max(around, (len(path), number))
    return around[1]


def _dotted(words: str) -> list[str]:
    """The names in a dotted key, without their quotes."""
    return [word.strip().strip("\"'") for word in words.split(".")]
