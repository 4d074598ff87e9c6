"""The whole of what the page shows, as it goes over the wire: pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tundev.advice import advice
from tundev.web.places import Kind, Places
from vtunlib.errors import RdvError

Values = Mapping[str, Any]


def state(
    agent: Values | None,
    port: Values | None,
    onsites: Sequence[Values] | None,
    places: Places,
    *,
    seen_from: Kind,
    account: str,
) -> dict[str, Any]:
    """What who looks from there is shown; see docs/architecture.md, The page."""
    wrong = advice(agent, port)
    here, uplink = places.get(seen_from), places.get(Kind.UPLINK)
    return {
        "agent": agent,
        "port": port,
        "onsites": onsites,
        "trouble": wrong and {"title": wrong.title, "text": wrong.text, "checks": list(wrong.checks)},
        "page": {
            "place": seen_from,
            "address": str(here.address) if here else None,
            "uplink_page": uplink is not None,
            "uplink_address": str(uplink.address) if uplink else None,
            "account": account,
        },
    }


def error(name: str, text: str, hint: str = "") -> dict[str, Any]:
    """An error as the page gets it."""
    return {"error": {"name": name, "text": text, "hint": hint}}


def told(wrong: RdvError) -> dict[str, Any]:
    """The same, of one of ours."""
    return error(type(wrong).__name__, wrong.message, wrong.hint)


def text(value: object) -> str:
    """As JSON on one line. Numbers that JSON has no word for, and Python's parser lets in, are null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
