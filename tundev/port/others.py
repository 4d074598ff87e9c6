"""The interfaces beside the technician's port, for a person: who waits, and what was plugged in in vain."""

from __future__ import annotations

import logging

from tundev.port.adapters import Adapter, Choice, LeftAlone

log = logging.getLogger(__name__)


def waiting(choice: Choice) -> list[str]:
    """The adapters that wait, as contract.PortKey.WAITING has them."""
    return [_shown(adapter) for adapter in choice.waiting]


def left_alone(choice: Choice) -> list[str]:
    """What was plugged in and is no adapter, as contract.PortKey.LEFT_ALONE has it."""
    return [f"{_shown(other)} {other.reason}" for other in choice.left_alone if other.plugged]


def tell(former: Choice, choice: Choice) -> None:
    """Log of whom there is something to tell since the former choice."""
    port = _shown(choice.port) if choice.port else ""
    waited = {adapter.plug for adapter in former.waiting}
    for adapter in choice.waiting:
        if adapter.plug not in waited:
            log.info("%s waits: the technician's port is %s", _shown(adapter), port)
    before = left_alone(former)
    for text in left_alone(choice):
        if text not in before:
            log.info("left alone: %s", text)


def _shown(one: Adapter | LeftAlone) -> str:
    return f"{one.name} ({one.product})" if one.product else one.name
