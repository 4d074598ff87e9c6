"""What the technician's port is at a moment, as a pure function of what is known of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from tundev.contract import PortState
from tundev.port.adapters import Adapter
from vtunlib.tunnel import TunnelMode

REPLUG_SECONDS = 15.0
"""How long a link that this device itself took down and up again may be without a carrier: an Ethernet
adapter and a laptop agree on a speed anew, which takes 2 to 4 s, and through a docking station longer."""

HELD = frozenset({PortState.READY, PortState.BORROWED})
"""States in which a session may have the port."""

_WHY = {
    PortState.ABSENT: "the adapter was unplugged",
    PortState.NO_CABLE: "the cable of the adapter was pulled",
    PortState.CHECKING: "the adapter is being looked at anew",
}


@dataclass(frozen=True)
class Loan:
    """A session that has the port."""

    borrower: str
    """Its connection to the bus."""
    mode: TunnelMode
    lan: ipaddress.IPv4Network | None = None
    """The customer's."""
    servers: tuple[ipaddress.IPv4Address, ...] = ()
    """The customer's DNS servers."""
    through: bool = False
    """Whether these can be asked: the tunnel is there."""
    over: bool = False
    """The port was lost under it; it is not given back yet."""


@dataclass(frozen=True)
class Facts:
    """What is known now."""

    adapter: Adapter | None = None
    linked: bool = False
    """There is a cable with somebody at its other end, or it is away for no longer than the grace."""
    checked: bool = False
    """No network answered on it since its cable was plugged in."""
    slow: str = ""
    """Why the look at it takes long, for a person."""
    stranger: str = ""
    """What answered there, for a person."""
    loan: Loan | None = None
    claimed: bool = False
    """A session has it from the watcher before this one, and is waited for."""

    @property
    def bridged(self) -> bool:
        """Whether it is lent for a bridge: the laptop is the customer's network's then."""
        return self.loan is not None and self.loan.mode is TunnelMode.L2


def next_state(facts: Facts) -> PortState:
    """What the port is."""
    loan = facts.loan
    if facts.adapter is None:
        return PortState.ABSENT
    if not facts.linked:
        return PortState.NO_CABLE
    if facts.stranger:
        return PortState.REFUSED
    if loan is not None and not loan.over:
        return PortState.BORROWED
    if loan is not None or not facts.checked or facts.claimed:
        return PortState.CHECKING
    return PortState.READY


def may_borrow(facts: Facts) -> bool:
    """Whether a session can have it now, also one that had it from the watcher before."""
    taken_up = facts.claimed and facts.adapter is not None and facts.linked
    return next_state(facts) is PortState.READY or taken_up


def why_removed(state: PortState, facts: Facts) -> str:
    """Why the port is ready no longer, for a person."""
    if state is PortState.CHECKING and facts.loan is not None:
        # Another was plugged in, or the same again, faster than that was told.
        return _WHY[PortState.ABSENT]
    return facts.stranger or _WHY.get(state, str(state))


def reason(state: PortState, facts: Facts) -> str:
    """What is waited for, or why it is refused; empty where there is nothing to say."""
    if state is PortState.REFUSED:
        return facts.stranger
    if state is PortState.CHECKING:
        if facts.loan is not None:
            return "the former session is being undone"
        return facts.slow or "looking whether a network answers where a laptop should be"
    return ""


def patience(*, away: float, grace: float, replugged: float | None) -> float:
    """How much longer a link may stay away, in seconds; 0 or less: it is gone.

    away: since when it has no carrier; replugged: when this device took it down and up itself. Both in
    seconds ago.
    """
    allowed = grace - away
    if replugged is not None:
        allowed = max(allowed, REPLUG_SECONDS - replugged)
    return allowed
