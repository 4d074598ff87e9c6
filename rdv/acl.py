"""Who may reach whom: `/etc/rdv/acl.toml`.

    [[rule]]
    master = "rpi1101"   # an account, or "*" for all
    onsite = "*"

Without the file every master may reach every onsite; with it only what a rule
allows. A file that cannot be taken allows nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from rdv import toml_file
from vtunlib.errors import ConfigError, NotFound

FILE = Path("/etc/rdv/acl.toml")
ANY = "*"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """One permission."""

    master: str
    onsite: str

    def allows(self, master: str, onsite: str) -> bool:
        """Whether this rule lets `master` reach `onsite`."""
        return self.master in (ANY, master) and self.onsite in (ANY, onsite)


def parse(path: Path) -> tuple[Rule, ...]:
    """The file's rules. Raises NotFound, ConfigError."""
    data, text = toml_file.read(path)
    for key in data:
        if key != "rule":
            raise toml_file.fault(path, text, key, "[[rule]] only")
    rules = data.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise toml_file.fault(path, text, "rule", "[[rule]]")
    parsed = []
    for number, rule in enumerate(rules):
        for key in rule:
            if key not in ("master", "onsite"):
                raise toml_file.fault(path, text, key, "master or onsite")
        for key in ("master", "onsite"):
            if not isinstance(rule.get(key), str) or not rule[key]:
                place = key if key in rule else "rule"
                raise toml_file.fault(path, text, place, f'{key} = "an account, or *"', number)
        parsed.append(Rule(rule["master"], rule["onsite"]))
    return tuple(parsed)


class AccessList:
    """The rules as the file has them now: it is read again as soon as it changed."""

    def __init__(self, path: Path = FILE) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._rules: tuple[Rule, ...] = (Rule(ANY, ANY),)

    def allows(self, master: str, onsite: str) -> bool:
        """Whether the master may see and reach the onsite."""
        self._refresh()
        return any(rule.allows(master, onsite) for rule in self._rules)

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        except FileNotFoundError:
            self._seen, self._rules = None, (Rule(ANY, ANY),)
            return
        except OSError as error:
            log.error("%s: %s: nobody may reach anybody", self._path, error.strerror)
            self._seen, self._rules = None, ()
            return
        if seen == self._seen:
            return
        try:
            self._rules = parse(self._path)
        except NotFound:
            self._seen, self._rules = None, (Rule(ANY, ANY),)
            return
        except ConfigError as error:
            log.error("%s: nobody may reach anybody", error)
            self._rules = ()
        self._seen = seen
