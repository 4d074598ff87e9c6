"""Whether this device works with the version that it runs: its agent is online, or why it is not."""

from __future__ import annotations

import asyncio
import logging

from tundev.agent_here import follow_agent
from tundev.contract import UNITS, Key
from tundev.states import ONLINE
from tundev.told import Values
from vtunlib import bus as buses
from vtunlib import units

PROOF_SECONDS = 600.0
"""How long the agent may take to come online with a new version, where nothing else is said."""
PATIENCE_SECONDS = 24 * 3600.0
"""How long after that it is waited for where nothing of ours is wrong: networks fail for hours."""
NOT_IN_ORDER = ("failed", "activating")
"""That long after a start, a unit that is still being started is one that fails again and again."""

log = logging.getLogger(__name__)


async def online(seconds: float, patience: float = 0.0) -> str | None:
    """Wait until the agent is; None then, else why it is held to be a fault that it is not.

    After `seconds` it is, where there is no patience, where a unit of ours is not in order or the
    agent says nothing. Else it is after `patience` seconds more. Raises RdvError.
    """
    status: Values | None = None
    reached = asyncio.Event()

    def changed(values: Values | None) -> None:
        nonlocal status
        status = values
        if values is not None and values.get(Key.STATE) in ONLINE:
            reached.set()

    bus = await buses.connect()
    try:
        await follow_agent(bus, changed)
        if await _in_time(reached, seconds):
            return None
        if not patience:
            return f"the agent was not online within {in_words(seconds)}"
        faulty = await asyncio.to_thread(units.units_named, *UNITS, states=NOT_IN_ORDER)
        if faulty or status is None:
            what = f"{', '.join(faulty)} failed" if faulty else "its agent did not run"
            return f"{in_words(seconds)} after a start the device was not online, and {what}"
        log.info("not online yet, and nothing of ours is why: it is waited for")
        if await _in_time(reached, patience):
            return None
        return f"the device was not online within {in_words(patience)} of a start"
    finally:
        bus.disconnect()


async def _in_time(reached: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await reached.wait()
    except TimeoutError:
        return False
    return True


def in_words(seconds: float) -> str:
    """As `10 minutes`: in the largest unit of which it is two or more."""
    for size, name in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
