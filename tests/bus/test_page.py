"""What the page's server shows and does, asked over HTTP; agent and watcher are small real services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.bus.page import PORT, SETTINGS, UPLINK, Server, serving, visiting
from tundev import contract
from tundev.contract import Key, PortKey, PortState
from tundev.states import State
from tundev.web.pin import PinHash
from tundev.web.places import Kind
from tundev.web.stream import PAUSE, READERS
from vtunlib.errors import NotOnline, SessionFailed

pytestmark = pytest.mark.usefixtures("system_bus")

WISH = {"onsite": "rpi1100", "mode": "L2", "reason": "Störung", "seconds": 3600, "patience": 30}


def story(told: Callable[[Server], Awaitable[None]], **options: Any) -> None:
    """Run it with the server."""

    async def run() -> None:
        async with serving(**options) as server:
            await told(server)

    asyncio.run(run())


def has(told: Mapping[Any, Any] | None = None, **more: Any) -> Callable[[dict[str, Any]], bool]:
    """Whether the agent in a state has these."""
    values = dict(told or {}) | more
    return lambda state: (state["agent"] or {}).items() >= values.items()


# what it shows


def test_the_whole_state_is_shown_at_once_and_after_each_change() -> None:
    async def told(server: Server) -> None:
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
            onsites = [{"id": "rpi1100", "label": "Straße"}]
            await events.until("state", lambda state: state["onsites"] == onsites)
            server.agent.tell(rtt_ms=12.5)
            await events.until("state", has(rtt_ms=12.5))
            server.watcher.tell(state=PortState.NO_CABLE)
            state = await events.until("state", lambda state: state["port"]["state"] == "no_cable")
            assert state["trouble"]["title"] == "No laptop at the adapter"
            assert await visitor.state() == state

    story(told)


def test_changes_gather_and_the_last_one_is_shown() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor, visitor.events() as events:
            for number in range(500):
                server.agent.tell(rx_bytes=number)
            began, states = asyncio.get_running_loop().time(), 0
            while not has(rx_bytes=499)((await events.next())[1]):
                states += 1
            took = asyncio.get_running_loop().time() - began
            assert states <= took / PAUSE + 2

    story(told)


def test_the_onsites_are_asked_for_when_told_that_they_changed_and_not_otherwise() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor, visitor.events() as events:
            await events.until("state", lambda state: state["onsites"])
            asked = server.agent.asked.count((contract.LIST_ONSITES, []))
            for number in range(5):
                server.agent.tell(rtt_ms=float(number))
            await events.until("state", has(rtt_ms=4.0))
            assert server.agent.asked.count((contract.LIST_ONSITES, [])) == asked
            server.agent.rows = [{"id": "rpi1102"}]
            server.agent.signal(contract.ONSITES_CHANGED)
            await events.until("state", lambda state: state["onsites"] == [{"id": "rpi1102"}])

    story(told)


def test_the_list_of_before_is_not_shown_of_an_agent_that_lost_the_server() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor, visitor.events() as events:
            await events.until("state", lambda state: state["onsites"])
            server.agent.tell(
                state=State.IP_ADDR_OK, failure="the name is unknown", failure_class="RdvUnreachable"
            )
            state = await events.until("state", has(state="IP_addr_OK"))
            assert state["onsites"] is None
            assert state["trouble"]["checks"]
            server.agent.tell(state=State.SSH_CONNECTION_OK)
            await events.until("state", lambda state: state["onsites"])

    story(told)


def test_an_agent_that_dies_is_null_and_seen_again_when_it_is_back() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor, visitor.events() as events:
            await events.until("state", lambda state: state["onsites"])
            server.agent.stop()
            state = await events.until("state", lambda state: state["agent"] is None)
            assert state["onsites"] is None
            assert state["trouble"]["title"] == "The agent does not run"
            await server.agent.start()
            await events.until("state", lambda state: state["agent"] and state["onsites"])

    story(told)


def test_the_page_starts_without_the_others_and_finds_them_later() -> None:
    async def told(server: Server) -> None:
        await server.watcher.start()
        async with visiting(server) as visitor:
            state = await visitor.state()
            assert (state["agent"], state["onsites"]) == (None, None)
            await server.agent.start()
            async with visitor.events() as events:
                await events.until("state", lambda state: state["agent"] and state["onsites"])

    story(told, agent=False, watcher=False)


def test_every_window_sees_the_same_and_only_so_many_may_look() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor, asyncio.TaskGroup() as group:
            seen: list[bool] = []
            enough = asyncio.Event()

            async def look() -> None:
                async with visitor.events() as events:
                    await events.until("state", has(rtt_ms=7.0))
                    seen.append(True)
                    await enough.wait()

            for _ in range(READERS):
                group.create_task(look())
            await server.until(lambda: server.readers() == READERS)
            async with visitor.http.get(f"{visitor.url}/api/events") as refused:
                assert refused.status == 409
                assert (await refused.json())["error"]["name"] == "Busy"
            server.agent.tell(rtt_ms=7.0)
            await server.until(lambda: len(seen) == READERS)
            enough.set()
            await server.until(lambda: server.readers() == 0)
            async with visitor.events() as events:
                await events.next()

    story(told)


# what it does


def test_a_connect_is_begun_its_steps_are_shown_and_the_state_says_that_it_is_up() -> None:
    async def told(server: Server) -> None:
        server.agent.steps = ["asking the RDV", "waiting for the tunnel"]
        server.agent.going_on.clear()
        async with visiting(server) as visitor, visitor.events() as events:
            assert await visitor.post("connect", WISH) == (202, {})
            assert server.agent.asked[-1] == (contract.CONNECT, ["rpi1100", "L2", "Störung", 3600, 30])
            assert [await events.until("step"), await events.until("step")] == [
                {"text": "asking the RDV"},
                {"text": "waiting for the tunnel"},
            ]
            server.agent.tell(session=True, state=State.TUNNEL_CONNECTION_OK)
            await events.until("state", has(session=True))
            async with visitor.events() as late:
                assert await late.until("step") == {"text": "asking the RDV"}
            status, refused = await visitor.post("connect", WISH)
            assert (status, refused["error"]["name"]) == (409, "Busy")
            server.agent.going_on.set()
            server.agent.tell(state=State.SESSION_OK)
            await events.until("state", has(state="Session_OK"))
            async with visitor.events() as later:
                assert (await later.next())[0] == "state"
            assert (await visitor.post("disconnect"))[0] == 200
            assert server.agent.asked[-1] == (contract.DISCONNECT, [])

    story(told)


def test_what_fails_before_the_first_step_is_the_answer() -> None:
    async def told(server: Server) -> None:
        server.agent.outcome = NotOnline("rpi1100 is not online", "is it plugged in?")
        async with visiting(server) as visitor:
            status, refused = await visitor.post("connect", WISH)
            assert status == 409
            # The hint crosses the bus as part of the text.
            text = "rpi1100 is not online; is it plugged in?"
            assert refused == {"error": {"name": "NotOnline", "text": text, "hint": ""}}

    story(told)


def test_what_fails_after_it_is_an_event_and_one_may_try_again() -> None:
    async def told(server: Server) -> None:
        server.agent.steps, server.agent.outcome = ["asking the RDV"], SessionFailed("no answer")
        server.agent.going_on.clear()
        async with visiting(server) as visitor, visitor.events() as events:
            for _ in range(2):
                assert (await visitor.post("connect", WISH))[0] == 202
                server.agent.going_on.set()
                failed = await events.until("failed")
                assert failed["error"] == {"name": "SessionFailed", "text": "no answer", "hint": ""}
                server.agent.going_on.clear()

    story(told)


def test_without_an_agent_it_says_so() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor:
            for what, body in (("connect", WISH), ("disconnect", {})):
                status, refused = await visitor.post(what, body)
                assert (status, refused["error"]["name"]) == (409, "NotRunning")

    story(told, agent=False)


def test_there_is_nothing_to_disconnect_without_a_session() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor:
            status, refused = await visitor.post("disconnect")
            assert (status, refused["error"]["name"]) == (409, "NoSession")

    story(told)


# where it is


def test_it_follows_the_port_and_tells_before_it_moves() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor:
            async with visitor.events() as events:
                server.watcher.tell(moving="127.0.0.3/29")
                assert await events.until("moving") == {"url": "http://127.0.0.3/"}
                server.watcher.tell(moving=None, address="127.0.0.3/29")
                with pytest.raises(EOFError):
                    while True:
                        assert (await events.next())[0] == "state"
            await server.until(lambda: server.address(Kind.PORT) == "127.0.0.3")
        async with visiting(server) as visitor:
            assert (await visitor.state())["page"]["address"] == "127.0.0.3"
        assert [str(place.address) for place in server.named if place] == ["127.0.0.1", "127.0.0.3"]

    story(told)


def test_who_was_not_told_before_is_told_when_it_has_moved() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor, visitor.events() as events:
            server.watcher.tell(address="127.0.0.3/29")
            assert await events.until("moving") == {"url": "http://127.0.0.3/"}

    story(told)


def test_a_port_without_an_address_has_no_page() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor, visitor.events() as events:
            server.watcher.tell(state=PortState.BORROWED, address=None)
            with pytest.raises(EOFError):
                while True:
                    await events.next()
            await server.until(lambda: not server.listeners.open)
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", int(visitor.url.rpartition(":")[2]))
            assert server.named[-1] is None
            assert server.settled[-1] == "nowhere: the technician's port has no address"

    story(told)


def test_a_watcher_that_dies_takes_no_page_away() -> None:
    async def told(server: Server) -> None:
        async with visiting(server) as visitor, visitor.events() as events:
            await events.next()
            server.watcher.bus.disconnect()
            state = await events.until("state", lambda state: state["port"] is None)
            assert state["page"]["address"] == "127.0.0.1"

    story(told)


def test_the_uplink_has_no_page_unless_the_configuration_wants_it() -> None:
    async def told(server: Server) -> None:
        server.agent.tell(UPLINK)
        async with visiting(server) as visitor, visitor.events() as events:
            await events.until("state", has(UPLINK))
            assert set(server.listeners.open) == {Kind.PORT}

    story(told)


def test_on_the_uplink_it_says_so_and_follows_the_address() -> None:
    async def told(server: Server) -> None:
        server.agent.tell(UPLINK)
        async with visiting(server, Kind.UPLINK) as visitor:
            assert (await visitor.enter())["place"] == "uplink"
            assert (await visitor.login("4711"))[0] == 200
            page = (await visitor.state())["page"]
            assert (page["place"], page["uplink_page"], page["uplink_address"]) == (
                "uplink",
                True,
                "127.0.0.2",
            )
            server.agent.tell({Key.ADDRESS: "127.0.0.4/24"})
            await server.until(lambda: server.address(Kind.UPLINK) == "127.0.0.4")
            server.agent.state = {k: v for k, v in server.agent.state.items() if k not in UPLINK}
            server.agent.tell(state=State.LAN_WAIT)
            await server.until(lambda: set(server.listeners.open) == {Kind.PORT})

    story(told, settings=replace(SETTINGS, uplink=True, pin=PinHash.of("4711")))


def test_an_interface_that_is_gone_is_told_once_and_found_when_it_is_there() -> None:
    async def told(server: Server) -> None:
        server.watcher.tell(interface="tdvnone0")
        await server.until(lambda: not server.listeners.open)
        await server.until(lambda: "cannot be at" in server.settled[-1])
        server.watcher.tell({PortKey.INTERFACE: None, PortKey.ADDRESS: None})
        await server.until(lambda: server.settled[-1] == "nowhere: the technician's port has no address")
        server.watcher.tell(PORT)
        async with visiting(server) as visitor:
            assert (await visitor.state())["page"]["address"] == "127.0.0.1"

    story(told)
