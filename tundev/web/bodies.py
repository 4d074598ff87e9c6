"""What the page sends, parsed to types: what is unknown or not of its form is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tundev.config_values import PIN_LENGTHS
from vtunlib.errors import UsageError
from vtunlib.tunnel import TunnelMode

LONGEST = 4096
"""Bytes of a body."""
LONGEST_SESSION = 7 * 24 * 3600
"""Seconds; the commands' limit too."""
LONGEST_PATIENCE = 600
"""Seconds that a connect may wait for the technician's port."""
ACCOUNT_LIMIT = 64
REASON_LIMIT = 200
"""Characters, as the agent takes them."""


@dataclass(frozen=True)
class Wish:
    """The body of a connect, as the agent's Connect takes it."""

    onsite: str
    mode: TunnelMode = TunnelMode.L3
    reason: str = ""
    seconds: int = 0
    patience: int = 0


def wish(body: bytes) -> Wish:
    """Of a connect. Raises UsageError."""
    forms = {
        "onsite": _text(1, ACCOUNT_LIMIT),
        "mode": _mode,
        "reason": _text(0, REASON_LIMIT),
        "seconds": _seconds(LONGEST_SESSION),
        "patience": _seconds(LONGEST_PATIENCE),
    }
    values = _object(body, forms)
    if "onsite" not in values:
        raise UsageError("onsite is missing")
    return Wish(**values)


def pin(body: bytes) -> str:
    """Of a login. Raises UsageError."""
    values = _object(body, {"pin": _text(0, PIN_LENGTHS[-1])})
    if "pin" not in values:
        raise UsageError("pin is missing")
    return str(values["pin"])


def nothing(body: bytes) -> None:
    """Of a disconnect: an empty object. Raises UsageError."""
    _object(body, {})


Form = Callable[[object], Any]


def _object(body: bytes, forms: Mapping[str, Form]) -> dict[str, Any]:
    try:
        raw = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise UsageError("the body is not JSON") from None
    if not isinstance(raw, dict):
        raise UsageError("the body is not a JSON object")
    values = {}
    for key, value in raw.items():
        if key not in forms:
            known = ", ".join(forms) or "none"
            raise UsageError(f"the key {str(key)[:40]!r} is unknown", f"known are: {known}")
        try:
            values[key] = forms[key](value)
        except ValueError as error:
            raise UsageError(f"{key}: expected {error}") from None
    return values


def _text(shortest: int, longest: int) -> Form:
    def parse(value: object) -> str:
        if not isinstance(value, str) or not shortest <= len(value) <= longest or not value.isprintable():
            raise ValueError(f"a string of {shortest} to {longest} printable characters")
        return value

    return parse


def _seconds(most: int) -> Form:
    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"whole seconds from 0 to {most}")
        return value

    return parse


def _mode(value: object) -> TunnelMode:
    if value not in list(TunnelMode):
        raise ValueError(" or ".join(TunnelMode))
    return TunnelMode(str(value))
