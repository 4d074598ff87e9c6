"""A cable that is pulled, and one that only flickers."""

from __future__ import annotations

import asyncio
import time

from tundev.port.cable import Cable


class Watched:
    """A cable, and whether it was told that it is pulled."""

    def __init__(self, grace: float, *, replugged: float | None = None) -> None:
        self.pulled = asyncio.Event()
        self.replugged = replugged
        self.cable = Cable(grace, lambda: self.replugged, self.pulled.set)


def test_without_a_carrier_from_the_start_nothing_is_linked_and_nothing_pulled() -> None:
    async def scenario() -> None:
        watched = Watched(0)
        watched.cable.take(False, patient=True)
        assert not watched.cable.linked and not watched.pulled.is_set()

    asyncio.run(scenario())


def test_a_carrier_that_comes_back_in_time_was_never_away() -> None:
    async def scenario() -> None:
        watched = Watched(60)
        for carrier in (True, False, True, False):
            watched.cable.take(carrier, patient=True)
            assert watched.cable.linked and watched.cable.carrier is carrier
        assert not watched.pulled.is_set()

    asyncio.run(scenario())


def test_one_that_stays_away_is_a_cable_that_was_pulled() -> None:
    async def scenario() -> None:
        watched = Watched(0.05)
        watched.cable.take(True, patient=True)
        watched.cable.take(False, patient=True)
        await asyncio.wait_for(watched.pulled.wait(), 10)
        assert not watched.cable.linked

    asyncio.run(scenario())


def test_where_another_network_is_it_is_pulled_at_once() -> None:
    async def scenario() -> None:
        watched = Watched(60)
        watched.cable.take(True, patient=True)
        watched.cable.take(False, patient=False)
        assert watched.pulled.is_set() and not watched.cable.linked

    asyncio.run(scenario())


def test_what_this_device_took_down_itself_may_take_its_time() -> None:
    async def scenario() -> None:
        watched = Watched(0)
        watched.cable.take(True, patient=True)
        watched.replugged = time.monotonic()
        watched.cable.take(False, patient=True)
        assert watched.cable.linked and not watched.pulled.is_set()

    asyncio.run(scenario())


def test_another_adapter_s_cable_begins_anew() -> None:
    async def scenario() -> None:
        watched = Watched(0.05)
        watched.cable.take(True, patient=True)
        watched.cable.take(False, patient=True)
        watched.cable.forget()
        assert not watched.cable.linked
        watched.cable.take(False, patient=True)
        await asyncio.sleep(0.1)  # nothing is to happen
        assert not watched.pulled.is_set()

    asyncio.run(scenario())
