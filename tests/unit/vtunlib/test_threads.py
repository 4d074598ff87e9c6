"""A cancelled wait for a thread ends only with the thread, or at once where the thread may be left."""

from __future__ import annotations

import asyncio
import threading

import pytest

from vtunlib.threads import left_behind, to_its_end


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


def test_nobody_waits_for_a_thread_that_may_be_left() -> None:
    """Neither who is cancelled, nor asyncio.run at its end."""
    begun, over, ended = threading.Event(), threading.Event(), threading.Event()
    found: list[bool] = []

    def work() -> None:
        begun.set()
        found.append(over.wait(10))
        ended.set()

    async def run() -> None:
        waiting = asyncio.create_task(left_behind(work))
        await asyncio.to_thread(begun.wait, 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())
    over.set()
    assert ended.wait(10)
    assert found == [True]


def test_what_a_thread_that_may_be_left_returns_and_raises_comes_through() -> None:
    assert asyncio.run(left_behind(int, "7")) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(left_behind(int, "seven"))
