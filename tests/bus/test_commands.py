"""What the commands show of an agent and a watcher that come, change and go; on a real bus and terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.bus.page import FakeAgent, FakeWatcher
from tests.unit.test_architecture import ROOT
from tundev.contract import PortState
from tundev.states import State
from vtunlib.errors import NoSession, NotRunning

pytestmark = pytest.mark.usefixtures("system_bus")

DEADLINE = 20.0


class Shown:
    """A command that runs, and what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.text = ""
        self._more = asyncio.Event()

    def take(self, data: bytes) -> None:
        self.text += data.decode()
        self._more.set()

    async def until(self, holds: Callable[[str], bool]) -> str:
        """The text, once this holds of it."""
        async with asyncio.timeout(DEADLINE):
            while not holds(self.text):
                self._more.clear()
                await self._more.wait()
        return self.text

    async def interrupted(self, number: signal.Signals = signal.SIGINT) -> int:
        """Its exit code after Ctrl-C, or another signal."""
        self.process.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()


@asynccontextmanager
async def masterdev(*words: str, terminal: bool = False) -> AsyncIterator[Shown]:
    """`masterdev` with these words, in a process of its own."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    # As from a terminal, also where the tests were started by nohup or in a shell's background.
    signals = ["env", "--default-signal=HUP,INT"]
    process = await asyncio.create_subprocess_exec(
        *(*signals, sys.executable, "-m", "tundev.commands.masterdev", *words),
        cwd=ROOT,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = Shown(process)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            data = os.read(ours, 65536)
        except OSError:  # what a terminal says at its end
            data = b""
        shown.take(data) if data else loop.remove_reader(ours)

    loop.add_reader(ours, read)
    try:
        yield shown
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        loop.remove_reader(ours)
        os.close(ours)


@asynccontextmanager
async def services() -> AsyncIterator[tuple[FakeAgent, FakeWatcher]]:
    agent, watcher = FakeAgent(), FakeWatcher()
    await agent.start()
    await watcher.start()
    try:
        yield agent, watcher
    finally:
        agent.bus.disconnect()
        watcher.bus.disconnect()


def test_each_change_is_a_line_and_for_programs_an_object() -> None:
    async def look() -> None:
        async with services() as (agent, watcher), masterdev("status", "--watch") as shown:
            await shown.until(lambda text: "no session; adapter ready" in text)
            async with masterdev("status", "--watch", "--json") as told:
                await told.until(lambda text: "\n" in text)
                agent.tell(state=State.SESSION_OK, session=True, onsite="rpi1100", mode="L3", rtt_ms=3.5)
                await shown.until(lambda text: "Session_OK; in session with rpi1100, L3" in text)
                watcher.tell(state=PortState.NO_CABLE)
                await shown.until(lambda text: "adapter no cable" in text)
                rows = [
                    json.loads(row)
                    for row in (await told.until(lambda text: "no_cable" in text)).splitlines()
                ]
                assert [row["adapter"]["state"] for row in (rows[0], rows[-1])] == ["ready", "no_cable"]
                assert (rows[0]["session"], rows[-1]["onsite"]) == (False, "rpi1100")
                assert await told.interrupted() == 0
            assert await shown.interrupted() == 0

    asyncio.run(look())


def test_an_agent_that_goes_and_comes_is_waited_for() -> None:
    async def look() -> None:
        async with services() as (agent, _), masterdev("status", "--watch") as shown:
            await shown.until(lambda text: "SSH_connection_OK" in text)
            agent.stop()
            await shown.until(lambda text: "The agent does not run" in text)
            await agent.start()
            agent.tell(failure="none")
            await shown.until(lambda text: text.count("SSH_connection_OK") == 2)
            assert await shown.interrupted() == 0

    asyncio.run(look())


def test_on_a_terminal_one_screen_is_drawn_again() -> None:
    async def look() -> None:
        async with services() as (agent, _), masterdev("status", "--watch", terminal=True) as shown:
            await shown.until(lambda text: "adapter    ready" in text)
            agent.tell(state=State.IP_ADDR_OK, failure="\x1b]0;evil", failure_class="RdvUnreachable")
            text = await shown.until(lambda text: "The RDV server cannot be reached" in text)
            assert text.count("\x1b[2J") == 1 and text.count("\x1b[H") >= 2
            assert "\x1b]" not in text
            assert await shown.interrupted() == 0

    asyncio.run(look())


def test_a_list_is_a_table_in_which_nothing_reaches_the_terminal_unescaped() -> None:
    async def look() -> None:
        async with services() as (agent, _):
            agent.rows = [
                {"id": "rpi1100", "label": "\x1b[31mred", "location": "a\nb", "in_session": "rpi1200"},
                {"id": "rpi1101", "label": "Straße"},
            ]
            async with masterdev("list") as shown:
                assert await shown.process.wait() == 0
                text = await shown.until(lambda text: "rpi1101" in text)
            assert "\x1b" not in text
            rows = text.splitlines()
            assert len(rows) == 3 and rows[0].startswith("ONSITE   LABEL")
            assert "?[31mred" in rows[1] and "a?b" in rows[1]
            async with masterdev("list", "--json") as shown:
                assert await shown.process.wait() == 0
                told = json.loads(await shown.until(lambda text: text.endswith("]\n")))
            assert [row["id"] for row in told] == ["rpi1100", "rpi1101"]

    asyncio.run(look())


def test_for_completion_there_are_names_alone_and_silence_without_an_agent() -> None:
    async def look() -> None:
        async with services() as (agent, _):
            agent.rows = [{"id": "rpi1100"}, {"id": "$(reboot)"}, {"id": "rpi-1101"}]
            async with masterdev("list", "--names") as shown:
                assert await shown.process.wait() == 0
                assert await shown.until(lambda text: "rpi-1101\n" in text) == "rpi1100\nrpi-1101\n"
        async with masterdev("list", "--names") as shown:
            assert await shown.process.wait() == 0
            assert shown.text == ""

    asyncio.run(look())


def test_the_status_tells_what_is_wrong_and_what_to_check() -> None:
    async def look() -> None:
        async with services() as (_, watcher):
            watcher.state = {
                "state": PortState.REFUSED,
                "interface": "eth1",
                "reason": "a DHCP server answers",
            }
            async with masterdev("status") as shown:
                assert await shown.process.wait() == 0
                text = " ".join((await shown.until(lambda text: "plug it in again" in text)).split())
            assert "eth1 is not used: a DHCP server answers." in text
            async with masterdev("status", "--json") as shown:
                assert await shown.process.wait() == 0
                told = json.loads(await shown.until(lambda text: text.endswith("}\n")))
            assert "a DHCP server answers" in told["trouble"]["text"]

    asyncio.run(look())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "terminal-gone"])
def test_who_leaves_while_the_adapter_is_waited_for_leaves_no_session_behind(number: signal.Signals) -> None:
    """Else it would come up with the next adapter, and nobody would know of it."""

    async def look() -> None:
        async with services() as (agent, _):
            agent.steps = ["waiting for the adapter"]
            agent.going_on.clear()
            async with masterdev("connect", "rpi1100", "--wait", "60") as shown:
                await shown.until(lambda text: "- waiting for the adapter" in text)
                leaving = asyncio.create_task(shown.interrupted(number))
                async with asyncio.timeout(DEADLINE):
                    await agent.left.wait()
                agent.outcome = NoSession("the master disconnected")
                agent.going_on.set()
                assert await leaving == 130

    asyncio.run(look())


def test_a_service_that_the_agent_misses_is_named_and_not_the_agent() -> None:
    async def look() -> None:
        async with services() as (agent, _):
            hint = "'systemctl status secondary-if-watcher.service' says why"
            agent.outcome = NotRunning("secondary-if-watcher.service does not run", hint)
            async with masterdev("connect", "rpi1100") as shown:
                assert await shown.process.wait() == NotRunning.exit_code
                told = await shown.until(lambda text: text.endswith("\n"))
            assert told == f"masterdev: secondary-if-watcher.service does not run; {hint}\n"

    asyncio.run(look())
