"""The rules that are in force: those of the file, or of the last one that could be taken."""

from __future__ import annotations

import datetime
import hashlib
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rdv.access import decision, rules
from rdv.access.decision import Answer, Verdict
from rdv.access.groups import FindParty
from rdv.access.rules import Rule, Rules
from vtunlib import files
from vtunlib.errors import ConfigError, NotFound
from vtunlib.tunnel import TunnelMode

FILE = Path("/etc/rdv/acl.toml")
KEPT = Path("/var/lib/rdv/acl.toml")
"""The text of the last file that could be taken, so that its rules outlive the manager."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InForce:
    """Rules, the text that they were read from, and why that is not the file's; empty where it is."""

    rules: Rules = ()
    text: str = ""
    fault: str = ""

    @property
    def fingerprint(self) -> str:
        """Tells whether two have the same text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def row(self) -> dict[str, Any]:
        """For programs."""
        return {
            "rules": [rule.row() for rule in self.rules],
            "fault": self.fault,
            "fingerprint": self.fingerprint,
        }


def load(file: Path = FILE, kept: Path = KEPT, former: InForce | None = None) -> InForce:
    """What a manager takes; former: what it had until now, None where it only starts."""
    try:
        return InForce(*rules.read(file))
    except NotFound as error:
        return InForce(fault=f"{error}: nobody may reach anybody")
    except ConfigError as error:
        try:
            before = former or InForce(*rules.read(kept))
        except (NotFound, ConfigError):
            return InForce(fault=f"{error}: nobody may reach anybody")
        return replace(before, fault=f"{error}: the rules of before stay in force")


def _keep(text: str, kept: Path) -> None:
    """On the disk; not again where they are already, for each start would wait for it."""
    with suppress(OSError, UnicodeDecodeError):
        if kept.read_text(encoding="utf-8") == text:
            return
    try:
        files.replace(kept, text.encode(), mode=0o600)
    except OSError as error:
        log.error("cannot keep the rules in %s, for after a restart: %s", kept, error.strerror)


class AccessList:
    """The manager's rules. They change by `refresh` alone, so what is answered between is of one piece."""

    def __init__(self, party: FindParty, file: Path = FILE, kept: Path = KEPT) -> None:
        self._party = party
        self._file = file
        self._kept = kept
        self._holding: Rules = ()
        self._held: tuple[datetime.datetime, datetime.datetime] | None = None
        self.now = self._taken(load(file, kept))

    def refresh(self) -> None:
        """Take the file as it is now; one that cannot be taken leaves the rules as they are."""
        former, self._held = self.now, None
        new = load(self._file, self._kept, former)
        self.now = new if new.text == former.text else self._taken(new)

    def _taken(self, new: InForce) -> InForce:
        log.info("%s: rules in force: %d", self._file, len(new.rules))
        if not new.fault:
            _keep(new.text, self._kept)
        return new

    def decide(
        self, master: str, onsite: str, mode: TunnelMode, reason: str | None, at: datetime.datetime
    ) -> Verdict:
        """Whether the master may reach the onsite."""
        who, whom = self._party(master), self._party(onsite)
        if who is None or whom is None:
            return Verdict(Answer.NEVER)
        return decision.decide(self.now.rules, who, whom, mode, at, reason)

    def visible(self, master: str, onsites: Iterable[str], at: datetime.datetime) -> set[str]:
        """Those of the onsites that the master may reach now, in whatever mode."""
        who = self._party(master)
        if who is None:
            return set()
        holding = self._holding_rules(at)
        parties = {onsite: self._party(onsite) for onsite in onsites}
        return {
            onsite
            for onsite, whom in parties.items()
            if whom is not None and any(rule.concerns(who, whom) for rule in holding)
        }

    def next_change(self, at: datetime.datetime) -> datetime.datetime | None:
        """The next instant at which time alone changes what is allowed; None where it never does."""
        return rules.next_change(self.now.rules, at)

    def _holding_rules(self, at: datetime.datetime) -> tuple[Rule, ...]:
        """The rules whose hour it is: found once for all who ask until that changes."""
        if self._held is None or not self._held[0] <= at < self._held[1]:
            never = datetime.datetime.max.replace(tzinfo=datetime.UTC)
            self._held = (at, self.next_change(at) or never)
            self._holding = tuple(rule for rule in self.now.rules if rule.hours.cover(at))
        return self._holding
