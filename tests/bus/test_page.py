"""What the page's server shows and does, asked over HTTP; agent and watcher are small real services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.bus.page import PORT, Server, serving, visiting
from tundev.contract import PortState

pytestmark = pytest.mark.usefixtures("system_bus")


def shown(story: Callable[[Server], Awaitable[None]], **options: object) -> None:
    """Run a story with the server."""

    async def run() -> None:
        async with serving(**options) as server:  # type: ignore[arg-type]
            await story(server)

    asyncio.run(run())


def test_the_whole_state_is_shown_at_once_and_after_each_change() -> None:
    async def story(server: Server) -> None:
        async with visiting(server) as visitor, visitor.events() as events:
            name, state = await events.next()
            assert name == "state"
            assert state["agent"]["state"] == "SSH_connection_OK"
            assert state["port"] == PORT
            assert state["trouble"] is None
            assert state["page"] == {
                "place": "port",
                "address": "127.0.0.1",
                "uplink_page": False,
                "uplink_address": None,
                "account": "rpi1101",
            }
            await events.until(
                "state", lambda state: state["onsites"] == [{"id": "rpi1100", "label": "Straße"}]
            )
            server.agent.tell(rtt_ms=12.5)
            await events.until("state", lambda state: state["agent"].get("rtt_ms") == 12.5)
            server.watcher.tell(state=PortState.NO_CABLE)
            state = await events.until("state", lambda state: state["port"]["state"] == "no_cable")
            assert state["trouble"]["title"] == "No laptop at the adapter"

    shown(story)
