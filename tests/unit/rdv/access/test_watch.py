"""When the rules are looked at: on the kernel's word about a file, and at the instant that was asked for."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from pathlib import Path

from rdv.access.watch import Watch

SECONDS = 10

Body = Callable[[asyncio.Queue[None], Watch], Awaitable[None]]


def watched(directory: Path, body: Body, again: list[datetime.datetime | None]) -> None:
    """Run `body` with the looks that are taken. again: what each answers; None after the last."""

    async def main() -> None:
        looks: asyncio.Queue[None] = asyncio.Queue()

        def look() -> datetime.datetime | None:
            looks.put_nowait(None)
            return again.pop(0) if again else None

        watch = Watch(look, [directory])
        watch.start()
        try:
            async with asyncio.timeout(SECONDS):
                await looks.get()  # the first, at the start
                await body(looks, watch)
        finally:
            watch.stop()

    asyncio.run(main())


def test_a_file_is_looked_at_once_it_was_written_replaced_or_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "acl.toml"

    async def body(looks: asyncio.Queue[None], _watch: Watch) -> None:
        file.write_text("one")
        await looks.get()
        (tmp_path / "new").write_text("two")
        (tmp_path / "new").rename(file)
        await looks.get()
        file.unlink()
        await looks.get()

    watched(tmp_path, body, [])


def test_what_an_editor_does_in_one_go_is_one_look(tmp_path: Path) -> None:
    file = tmp_path / "acl.toml"
    file.write_text("rules")
    seen = []

    async def body(looks: asyncio.Queue[None], _watch: Watch) -> None:
        file.rename(tmp_path / "acl.toml~")
        file.touch()
        file.write_text("new rules")
        await looks.get()
        seen.append(file.read_text())
        assert looks.empty()

    watched(tmp_path, body, [])
    assert seen == ["new rules"]


def test_the_hour_that_was_named_is_looked_at_and_a_look_before_it_replaces_it(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    soon, never = now + datetime.timedelta(seconds=0.2), now + datetime.timedelta(days=400)

    async def body(looks: asyncio.Queue[None], watch: Watch) -> None:
        watch.again()
        await looks.get()
        await looks.get()  # at `soon`, which the second look named

    watched(tmp_path, body, [never, soon, None])


def test_a_directory_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    async def body(looks: asyncio.Queue[None], watch: Watch) -> None:
        watch.again()
        await looks.get()

    watched(tmp_path / "none", body, [])
