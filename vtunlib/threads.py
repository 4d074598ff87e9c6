"""Work in a thread: what must not be left behind, and what may be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


async def to_its_end(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """As asyncio.to_thread, but a cancellation takes effect only when the thread is done.

    A thread cannot be cancelled: what undoes its work must not run beside it.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.gather(work, return_exceptions=True)
        raise


async def left_behind(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """As asyncio.to_thread, but a cancellation takes effect at once, and nobody waits for the thread ever.

    For what only asks and may be long in hearing nothing. The threads of asyncio.to_thread are
    few, and asyncio.run ends only when the last of them has.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[R] = loop.create_future()

    def work() -> None:
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            tell(outcome.set_exception, error)
        else:
            tell(outcome.set_result, result)

    def tell(settle: Callable[[T], None], what: T) -> None:
        with suppress(RuntimeError):  # the loop has ended, so nobody waits any more
            loop.call_soon_threadsafe(lambda: None if outcome.done() else settle(what))

    threading.Thread(target=work, name=function.__name__, daemon=True).start()
    return await outcome
