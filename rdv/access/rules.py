"""The rules of `/etc/rdv/acl.toml`, parsed once into types: acl.toml(5) has the format."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rdv import toml_file
from rdv.access import hours as hours_of
from rdv.access import reach as reach_of
from rdv.access.hours import ALWAYS, Hours
from rdv.access.reach import LAN, Reach
from rdv.devices import check_account
from rdv.facts import TEXT_LIMIT
from vtunlib.errors import ConfigError, UsageError
from vtunlib.tunnel import TunnelMode

ANYBODY = "*"
GROUP = "group:"

_KEYS = ("name", "master", "onsite", "mode", "hours", "reach", "require_reason")
_WHO = f'an account, "{GROUP}NAME", "{ANYBODY}", or a list of these'

T = TypeVar("T")


@dataclass(frozen=True)
class Party:
    """A device that wants to reach or be reached."""

    account: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """One permission. number: 1 is the first of the file; line: where it begins there."""

    number: int
    line: int
    masters: tuple[str, ...]
    onsites: tuple[str, ...]
    name: str = ""
    modes: tuple[TunnelMode, ...] = tuple(TunnelMode)
    hours: Hours = ALWAYS
    reach: Reach = LAN
    require_reason: bool = False

    @property
    def title(self) -> str:
        """How it is told of, after the word rule."""
        return self.name or str(self.number)

    def concerns(self, master: Party, onsite: Party) -> bool:
        """Whether it says something of these two."""
        return _names(self.masters, master) and _names(self.onsites, onsite)

    def row(self) -> dict[str, Any]:
        """For programs."""
        return {
            "number": self.number,
            "line": self.line,
            "name": self.name,
            "master": list(self.masters),
            "onsite": list(self.onsites),
            "mode": [str(mode) for mode in self.modes],
            "hours": list(self.hours.texts),
            "reach": self.reach.value(),
            "require_reason": self.require_reason,
        }


Rules = tuple[Rule, ...]


def next_change(rules: Iterable[Rule], at: datetime.datetime) -> datetime.datetime | None:
    """The next instant at which time alone changes what the rules allow; None where it never does."""
    return min(filter(None, (rule.hours.next_change(at) for rule in rules)), default=None)


def _names(words: tuple[str, ...], party: Party) -> bool:
    return any(
        word in (ANYBODY, party.account)
        or (word.startswith(GROUP) and word.removeprefix(GROUP) in party.groups)
        for word in words
    )


def read(path: Path) -> tuple[Rules, str]:
    """The file's rules, and its text. Raises NotFound, ConfigError."""
    data, text = toml_file.read(path)
    for key in data:
        if key != "rule":
            raise toml_file.fault(path, text, key, "[[rule]] only")
    rows = data.get("rule")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        # An empty file is refused: it is what an editor or a full disk leaves half-way.
        raise toml_file.fault(path, text, "rule", "[[rule]] at least once, or rule = [] where nobody may")
    return tuple(_Parsing(path, text, rows, index).rule() for index in range(len(rows))), text


@dataclass(frozen=True)
class _Parsing:
    """One rule of a file, with all that a fault of it is told with."""

    path: Path
    text: str
    rows: list[dict[str, Any]]
    index: int

    @property
    def row(self) -> Mapping[str, Any]:
        return self.rows[self.index]

    def rule(self) -> Rule:
        for key in self.row:
            if key not in _KEYS:
                raise self._fault(key, f"one of {', '.join(_KEYS)}")
        return Rule(
            number=self.index + 1,
            line=toml_file.line_of(self.text, "rule", self.index),
            masters=self._needed("master"),
            onsites=self._needed("onsite"),
            name=self._optional("name", _name, ""),
            modes=self._optional("mode", _modes, tuple(TunnelMode)),
            hours=self._optional("hours", hours_of.parse, ALWAYS),
            reach=self._optional("reach", reach_of.parse, LAN),
            require_reason=self._optional("require_reason", _flag, False),
        )

    def _needed(self, key: str) -> tuple[str, ...]:
        if key not in self.row:
            raise toml_file.fault(self.path, self.text, "rule", f"{key} in it: {_WHO}", self.index)
        return self._optional(key, _who, ())

    def _optional(self, key: str, parse: Callable[[object], T], default: T) -> T:
        if key not in self.row:
            return default
        try:
            return parse(self.row[key])
        except ValueError as error:
            raise self._fault(key, str(error)) from None

    def _fault(self, key: str, expected: str) -> ConfigError:
        before = sum(key in row for row in self.rows[: self.index])
        return toml_file.fault(self.path, self.text, key, expected, before)


def _who(value: object) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        raise ValueError(_WHO)
    for word in words:
        if not isinstance(word, str) or not _is_who(word):
            raise ValueError(f"{_WHO}; {word!r} is none")
    return tuple(words)


def _is_who(word: str) -> bool:
    if word == ANYBODY:
        return True
    if word.startswith(GROUP):
        return word != GROUP and word.isprintable()
    try:
        return bool(check_account(word))
    except UsageError:
        return False


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > TEXT_LIMIT or not value.isprintable():
        raise ValueError(f"at most {TEXT_LIMIT} printable characters")
    return value


def _modes(value: object) -> tuple[TunnelMode, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(word in list(TunnelMode) for word in words):
        raise ValueError('"L2", "L3", or both as a list')
    return tuple(mode for mode in TunnelMode if mode in words)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value
