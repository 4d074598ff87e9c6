"""What is told of a device and of a session: one JSON object each, as `--json` shows it."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from rdv.sessions.session import Session, State

if TYPE_CHECKING:  # for who only shows them need not have all that makes them
    from rdv.drain import Drain
    from rdv.manager.registry import Connection
    from rdv.sessions.life import Life
    from rdv.sessions.traffic import Traffic


def device(connection: Connection, life: Life | None) -> dict[str, Any]:
    """An online device. life: of the session that it is in."""
    facts = connection.facts
    return {
        "id": connection.account,
        "label": connection.device.label,
        "hostname": facts.hostname,
        "version": facts.version,
        "location": connection.location,
        "lan": str(facts.lan or ""),
        "dns": [str(server) for server in facts.dns],
        "uplink": facts.uplink or "",
        "address": connection.origin.address if connection.origin else "",
        "transport": str(connection.origin.transport) if connection.origin else "",
        "since": iso(connection.since),
        "in_session": life.session.other(connection.account) if life else None,
    }


def session(
    agreed: Session, state: State, rtt: float | None = None, traffic: Traffic | None = None
) -> dict[str, Any]:
    """A session. rtt: seconds; traffic: bytes each way; None where they are not known."""
    return {
        "state": str(state.shown),
        "id": agreed.id,
        "onsite": agreed.onsite.account,
        "master": agreed.master.account,
        "mode": str(agreed.mode),
        "since": iso(agreed.born),
        "rtt_ms": None if rtt is None else round(rtt * 1000, 1),
        "to_onsite": traffic and traffic.to_onsite,
        "from_onsite": traffic and traffic.from_onsite,
        "reason": agreed.reason,
        "reach": str(agreed.reach),
    }


def drain(drained: Drain | None) -> dict[str, Any] | None:
    """That new sessions are refused; None where they are not."""
    return None if drained is None else {"since": iso(drained.since), "reason": drained.reason}


def iso(instant: datetime.datetime) -> str:
    """An instant of UTC in whole seconds."""
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
