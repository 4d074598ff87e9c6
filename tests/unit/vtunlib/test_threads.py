"""A cancelled wait for a thread ends only with the thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from vtunlib.threads import to_its_end


def test_a_cancellation_waits_for_the_thread() -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        assert go_on.wait(10)
        done.append("work")

    async def run() -> None:
        waiting = asyncio.create_task(to_its_end(work))
        await asyncio.to_thread(begun.wait, 10)
        waiting.cancel()
        asyncio.get_running_loop().call_soon(go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert done == ["work"]

    asyncio.run(run())


def test_what_it_returns_and_raises_comes_through() -> None:
    assert asyncio.run(to_its_end(int, "7")) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(to_its_end(int, "seven"))
