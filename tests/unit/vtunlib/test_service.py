"""What ends a service."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from vtunlib.errors import RdvError
from vtunlib.service import until_one_ends, until_told


def test_a_bus_that_breaks_is_told_in_one_line_and_without_a_traceback() -> None:
    told: list[dict[str, Any]] = []

    async def broken() -> None:
        raise EOFError

    async def serve() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        with pytest.raises(RdvError, match="the connection to the system bus broke"):
            await until_told(asyncio.ensure_future(broken()))
        gc.collect()  # which is when asyncio tells of what nobody has taken

    asyncio.run(serve())
    assert not told


def test_the_first_of_several_lives_that_ends_ends_all_with_its_error() -> None:
    ended: list[str] = []

    async def lasting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("lasting")

    async def failing() -> None:
        raise RdvError("it failed")

    async def serve() -> None:
        with pytest.raises(RdvError, match="it failed"):
            await until_one_ends(lasting(), failing())
        assert ended == ["lasting"]

    asyncio.run(serve())
