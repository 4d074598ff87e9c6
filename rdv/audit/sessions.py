"""What is told of a session: the events of its life, pure."""

from __future__ import annotations

from typing import Any

from rdv.audit.events import Event, Kind
from rdv.audit.forms import instant
from rdv.sessions.session import Session
from rdv.sessions.traffic import Traffic
from vtunlib.errors import RdvError

ACCOUNT_LIMIT = 64
"""Characters that are kept of a name which no device has: the text of who asked for it."""


def opened(session: Session) -> Event:
    """It is agreed, and about to be made."""
    more = {
        "master": session.master.account,
        "mode": str(session.mode),
        "reason": session.reason,
        "rule": session.rule,
    }
    return Event(Kind.SESSION_OPENED, session.onsite.account, session.id, more)


def up(session: Session, seconds: float) -> Event:
    """It carries traffic, so many seconds after it was opened."""
    more = {"master": session.master.account, "seconds": round(seconds, 3)}
    return Event(Kind.SESSION_UP, session.onsite.account, session.id, more)


def ended(session: Session, why: str, traffic: Traffic | None) -> Event:
    """It is over."""
    former = opened(session)
    return ended_later(
        Event(former.kind, former.device, former.session, former.more, session.born), why, traffic
    )


def ended_later(opened_then: Event, why: str, traffic: Traffic | None) -> Event:
    """The session that was opened then is over, and that event is all that is still known of it."""
    more: dict[str, Any] = {**opened_then.more, "started": instant(opened_then.at), "why": why}
    if traffic is not None:
        more |= {"to_onsite": traffic.to_onsite, "from_onsite": traffic.from_onsite}
    return Event(Kind.SESSION_ENDED, opened_then.device, opened_then.session, more)


def refused(master: str, onsite: str, error: RdvError) -> Event:
    """The master may not have, or cannot get, a session with what it asked for."""
    more = {"master": master, "error": type(error).__name__, "why": str(error)}
    return Event(Kind.SESSION_REFUSED, onsite[:ACCOUNT_LIMIT], more=more)
