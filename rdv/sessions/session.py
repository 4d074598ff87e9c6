"""The life of a session, decided apart from done: pure.

A session is agreed at its birth and never changes (Session); what is seen of it
as time goes by is Facts; `next_state` says what follows from them.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rdv.access.reach import Reach
from vtunlib.tunnel import Role, TunnelMode, VtunParameters

UP_DEADLINE = 30.0
"""Seconds from birth until both legs must carry traffic."""
SILENCE_LIMIT = 15.0
"""Seconds without an answered probe after which an up session is over."""
WORD_SECONDS = 0.5
"""After a leg was lost, how long may pass until it is known why: a device that leaves says so and takes
its leg away at the same time, and a connection that breaks takes both. Less than the devices wait for
our word (tundev.leg)."""
REATTACH_GRACE = 60.0
"""Seconds for the devices of a kept session to be seen again after the manager came back. They are
attached one after the other: thousands of them take a while, and these two may come last."""


ROLES = frozenset({Role.ONSITE, Role.MASTER})
"""The two ends of a session."""


class State(StrEnum):
    """Where in its life a session is."""

    BIRTH = "birth"
    """Agreed; its namespace is being made."""
    LEGS = "legs"
    """The devices may dial their legs."""
    UP = "up"
    """Both legs carry traffic."""
    ENDED = "ended"

    @property
    def shown(self) -> State:
        """To the outside: born, or waiting for its legs, is one and the same."""
        return State.LEGS if self is State.BIRTH else self


@dataclass(frozen=True)
class Leg:
    """One device's end of a session."""

    account: str
    uid: int
    parameters: VtunParameters


@dataclass(frozen=True)
class Session:
    """What was agreed at birth. id: 8 hexadecimal digits; reason: the technician's words, may be empty."""

    id: str
    mode: TunnelMode
    onsite: Leg
    master: Leg
    lan: ipaddress.IPv4Interface
    """The onsite's address on the customer's LAN."""
    dns: tuple[ipaddress.IPv4Address, ...]
    rule: str
    """The title of the rule that allowed it."""
    reach: Reach
    reason: str
    born: datetime.datetime

    @property
    def namespace(self) -> str:
        """Name of the network namespace that the session lives in."""
        return f"rdv-{self.id}"

    def leg(self, role: Role) -> Leg:
        """The leg of that role."""
        return self.onsite if role is Role.ONSITE else self.master

    @property
    def accounts(self) -> tuple[str, str]:
        """Both devices."""
        return self.onsite.account, self.master.account

    def other(self, account: str) -> str:
        """The device that `account` is in the session with."""
        return self.master.account if account == self.onsite.account else self.onsite.account


@dataclass(frozen=True)
class Facts:
    """What is seen of a session. Instants are seconds of the monotonic clock."""

    state: State
    now: float
    born: float
    """Of a session kept over a restart of the manager: when it was read back."""
    joined: bool = False
    """The namespace, its devices and the leg sockets are there."""
    carriers: frozenset[Role] = frozenset()
    """Legs that a vtund holds."""
    lost: float | None = None
    """Since when a leg is missing that was there."""
    answered: float | None = None
    """When a probe was last answered by all that it asks."""
    unseen: Mapping[Role, str] = field(default_factory=dict)
    """Devices (by account) of a kept session that are not attached again yet."""
    drop: str = ""
    """Why somebody wants it ended; empty where nobody does."""


@dataclass(frozen=True)
class Decision:
    """The state that follows, and why."""

    state: State
    why: str = ""


def next_state(facts: Facts) -> Decision:
    """What follows from the facts. The same state again means: go on."""
    stay = Decision(facts.state)
    if facts.drop and facts.state is not State.ENDED:
        return Decision(State.ENDED, facts.drop)
    match facts.state:
        case State.BIRTH:
            return Decision(State.LEGS, "the legs may be dialled") if facts.joined else stay
        case State.LEGS:
            return _while_dialled(facts) or stay
        case State.UP:
            return _while_up(facts) or stay
        case State.ENDED:
            return stay


def _while_dialled(facts: Facts) -> Decision | None:
    missing = _missing(facts)
    if not missing and facts.answered is not None:
        return Decision(State.UP, "both legs answer")
    if facts.now - facts.born < UP_DEADLINE:
        return None
    cause = f"no leg from the {' nor the '.join(missing)}" if missing else "no answer through the legs"
    return Decision(State.ENDED, f"not up within {UP_DEADLINE:.0f} s: {cause}")


def _while_up(facts: Facts) -> Decision | None:
    missing = _missing(facts)
    if missing and (facts.lost is None or facts.now - facts.lost >= WORD_SECONDS):
        return Decision(State.ENDED, f"the leg of the {' and of the '.join(missing)} is down")
    if facts.now - _last_sign(facts) >= SILENCE_LIMIT:
        return Decision(State.ENDED, f"no answer through the legs for {SILENCE_LIMIT:.0f} s")
    if facts.unseen and facts.now - facts.born >= REATTACH_GRACE:
        gone = " and ".join(facts.unseen[role] for role in sorted(facts.unseen))
        return Decision(State.ENDED, f"{gone} did not come back after the manager's restart")
    return None


def _missing(facts: Facts) -> list[str]:
    return [str(role) for role in Role if role not in facts.carriers]


def next_deadline(facts: Facts) -> float | None:
    """The instant at which time alone may change the state; None where it cannot."""
    match facts.state:
        case State.LEGS:
            return facts.born + UP_DEADLINE
        case State.UP:
            instants = [_last_sign(facts) + SILENCE_LIMIT]
            if facts.unseen:
                instants.append(facts.born + REATTACH_GRACE)
            if facts.lost is not None:
                instants.append(facts.lost + WORD_SECONDS)
            return min(instants)
        case _:
            return None


def _last_sign(facts: Facts) -> float:
    return facts.born if facts.answered is None else facts.answered
