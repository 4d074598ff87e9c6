"""The forms of an event: a row of the store, a JSON object for programs."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rdv.audit.events import Event, Kind
from vtunlib.errors import RdvError


def instant(at: datetime.datetime) -> str:
    """As it stands in the store and is shown: UTC, to the millisecond; sorts as text."""
    utc = at.astimezone(datetime.UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_object(event: Event) -> dict[str, Any]:
    """The event as one JSON object: what `rdv-admin audit --json` shows and the manager's signal carries."""
    return {
        "at": instant(event.at),
        "kind": str(event.kind),
        "device": event.device,
        "session": event.session,
        "more": dict(event.more),
    }


def to_json(event: Event) -> str:
    """That object as text, on one line, without characters that a terminal could obey."""
    text = storable(json.dumps(to_object(event), ensure_ascii=False, default=str))
    return (
        text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    )


def from_json(text: str) -> Event:
    """The event of such a text. Raises RdvError."""
    try:
        data = json.loads(text)
        at, kind, device, session, more = (data[key] for key in ("at", "kind", "device", "session", "more"))
        return Event(_kind(kind), str(device), str(session), dict(more), datetime.datetime.fromisoformat(at))
    except (ValueError, TypeError, KeyError):
        raise RdvError(f"{text[:80]!r} is no event") from None


def to_values(event: Event) -> tuple[str, str, str, str, str]:
    """The columns of the store but the first."""
    more = json.dumps(dict(event.more), ensure_ascii=False, default=str)
    # What UTF-8 cannot hold must not keep the rest from being kept.
    device, session, more = map(storable, (event.device, event.session, more))
    return instant(event.at), str(event.kind), device, session, more


def to_event(row: Sequence[Any]) -> Event:
    """The event in a row of the store. Raises RdvError on a kind that is not known here."""
    _, at, kind, device, session, more = row
    values: Mapping[str, Any] = json.loads(more)
    return Event(_kind(kind), device, session, values, datetime.datetime.fromisoformat(at))


def storable(text: str) -> str:
    """The text as UTF-8 and D-Bus can have it: lone surrogates replaced by `?`."""
    return text.encode(errors="replace").decode()


def _kind(word: str) -> Kind:
    try:
        return Kind(word)
    except ValueError:
        raise RdvError(
            f"the audit has an event of kind {word!r}", "it was made by a newer version of rdv-server"
        ) from None
