"""What the rules say when a master wants to reach an onsite. Pure.

The first rule that concerns the two, the mode and the hour decides: its reach,
and whether it wants a reason. Where there is none, the answer tells what would do,
but only to a master that some rule concerns at all.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum

from rdv.access.reach import Reach
from rdv.access.rules import Party, Rule, Rules
from vtunlib.errors import NotAllowed
from vtunlib.tunnel import TunnelMode


class Answer(StrEnum):
    """Yes, or in which way no."""

    YES = "yes"
    NEVER = "never"
    """No rule concerns the two: the master is not to know that the onsite exists."""
    NOT_IN_THIS_MODE = "not-in-this-mode"
    NOT_AT_THIS_HOUR = "not-at-this-hour"
    NOT_WITHOUT_REASON = "not-without-reason"


@dataclass(frozen=True)
class Verdict:
    """rule: the one that decided, where one did. instead: what would do."""

    answer: Answer
    rule: Rule | None = None
    instead: str = ""


def decide(
    rules: Rules,
    master: Party,
    onsite: Party,
    mode: TunnelMode,
    at: datetime.datetime,
    reason: str | None = None,
) -> Verdict:
    """The verdict at this instant. reason: the technician's words, None where none is asked for yet."""
    concerned = [rule for rule in rules if rule.concerns(master, onsite)]
    if not concerned:
        return Verdict(Answer.NEVER)
    now = [rule for rule in concerned if rule.hours.cover(at)]
    for rule in now:
        if mode in rule.modes:
            wanting = reason is not None and rule.require_reason and not reason.strip()
            return Verdict(Answer.NOT_WITHOUT_REASON if wanting else Answer.YES, rule)
    if now:
        modes = [str(one) for one in TunnelMode if any(one in rule.modes for rule in now)]
        return Verdict(Answer.NOT_IN_THIS_MODE, instead=" or ".join(modes))
    of_mode = [rule for rule in concerned if mode in rule.modes] or concerned
    return Verdict(Answer.NOT_AT_THIS_HOUR, instead="; ".join(dict.fromkeys(str(r.hours) for r in of_mode)))


def ending(verdict: Verdict, mode: TunnelMode, reach: Reach) -> str:
    """Why a session that runs ends by this verdict; empty where it does not.

    A reach that is another one ends it, too: what a connection through it was
    allowed for does not hold any more, and nobody goes on without knowing that.
    """
    match verdict.answer:
        case Answer.YES:
            if verdict.rule is not None and verdict.rule.reach == reach:
                return ""
            return "what may be reached has changed in the RDV's rules; connect again"
        case Answer.NEVER:
            return "the RDV's rules do not allow it any more"
        case Answer.NOT_IN_THIS_MODE:
            return f"the RDV's rules do not allow it in mode {mode} any more; they do in {verdict.instead}"
        case Answer.NOT_AT_THIS_HOUR:
            return f"its hours are over; it is allowed {verdict.instead}, by the RDV's clock"
        case Answer.NOT_WITHOUT_REASON:
            return "the RDV's rules want a reason for it now; connect again with one"


def refusal(verdict: Verdict, master: str, onsite: str, mode: TunnelMode) -> NotAllowed | None:
    """The error that a verdict other than yes is told with; NEVER is for the admin's eyes alone."""
    who = f"{master} may not reach {onsite}"
    match verdict.answer:
        case Answer.YES:
            return None
        case Answer.NEVER:
            return NotAllowed(who, "no rule concerns these two")
        case Answer.NOT_IN_THIS_MODE:
            return NotAllowed(f"{who} in mode {mode}", f"it may in {verdict.instead}")
        case Answer.NOT_AT_THIS_HOUR:
            return NotAllowed(f"{who} at this hour", f"it may {verdict.instead}, by the RDV's clock")
        case Answer.NOT_WITHOUT_REASON:
            return NotAllowed(f"{who} without a reason", 'give one, as in --reason "ticket 4711"')
