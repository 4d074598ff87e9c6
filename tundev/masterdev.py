"""The master's agent: online, it knows the onsites; asked to, it opens a session with one.

It answers on the bus (tundev.contract). It has one session at a time; how that
lives is tundev.master_session.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any

from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface

from tundev import technician_port
from tundev.agent import Agent
from tundev.borrowed_port import BorrowedPort
from tundev.contract import (
    BUS_NAMES,
    CONNECT,
    DISCONNECT,
    LIST_ONSITES,
    ONSITES_CHANGED,
    STATUS,
    STEP,
    Key,
)
from tundev.master_session import UP_SECONDS, Ending, MasterSession, Wish, until_over
from tundev.settings import Settings
from tundev.shell_client import Shell
from vtunlib import bus as buses
from vtunlib.errors import (
    Busy,
    NoSession,
    ProtocolError,
    RdvError,
    RdvUnreachable,
    SessionFailed,
    Timeout,
    UsageError,
    named,
)
from vtunlib.network import Item
from vtunlib.tunnel import Role, TunnelMode
from vtunlib.words import Wait, Word

FINISH_SECONDS = 10.0
"""How long a session that is being undone keeps an agent that was told to stop."""

log = logging.getLogger(__name__)


class MasterAgent(Agent):
    """The agent of masterdev.service."""

    role = Role.MASTER

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._port = BorrowedPort(self._port_changed, self._port_lost)
        self._shell: Shell | None = None
        self._session: MasterSession | None = None
        self._ended: Ending | None = None
        self._gone = asyncio.Event()
        self._holding: asyncio.Task[None] | None = None

    def idle_items(self) -> list[Item]:
        return technician_port.idle()

    def export(self, bus: MessageBus) -> None:
        bus.export(BUS_NAMES[self.role].path, _Interface(self))

    def more_status(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            Key.PORT: self._port.interface,
            Key.SESSION: self._session is not None,
        }
        if self._session is not None:
            values |= self._session.status()
        elif self._ended is not None:
            values |= {Key.ENDED: str(self._ended.error), Key.ENDED_AS_WISHED: self._ended.as_wished}
        return values

    async def listen(self, bus: MessageBus) -> None:
        await self._port.listen(bus)

    def _port_changed(self) -> None:
        self.note()

    def _port_lost(self, error: RdvError, as_wished: bool) -> None:
        if self._session is not None:
            self._session.end(error, as_wished=as_wished)

    async def finish(self) -> None:
        if self._session is not None and self._holding is not None:
            self._session.end(SessionFailed("the master's agent was stopped"))
            await asyncio.wait([self._holding], timeout=FINISH_SECONDS)

    # the connection

    async def serve(self, shell: Shell) -> None:
        self._shell = shell
        self.signal(ONSITES_CHANGED, "")
        try:
            while True:
                await self._ask_session(shell)
                if await shell.wait(Word.WAIT_CHANGE) is Wait.CHANGED:
                    self.signal(ONSITES_CHANGED, "")
        finally:
            self._shell = None
            self.signal(ONSITES_CHANGED, "")
            if self._session is not None:
                self._session.end(RdvUnreachable("the connection to the RDV server was lost"))

    async def _ask_session(self, shell: Shell) -> None:
        session = self._session
        lines = await shell.ask(Word.SESSION_STATUS)
        if session is not None:
            session.told(dict(line.split(": ", 1) for line in lines if ": " in line))

    def _need_shell(self) -> Shell:
        if self._shell is None:
            if self.failure is None:
                raise RdvUnreachable(f"not connected to the RDV server yet, so far: {self.state}")
            raise named(type(self.failure).__name__, f"not connected to the RDV server: {self.failure}")
        return self._shell

    # what a person asks for

    async def onsites(self) -> list[dict[str, Any]]:
        """As `show_online_onsite_devs -v` has them. Raises RdvError."""
        rows = []
        for line in await self._need_shell().ask(Word.SHOW_ONLINE_ONSITE_DEVS, "-v"):
            try:
                row = json.loads(line)
                if not isinstance(row, dict) or not isinstance(row.get("id"), str):
                    raise ValueError
            except ValueError:
                raise ProtocolError("the RDV's list of onsites is malformed") from None
            rows.append({key: value for key, value in row.items() if _crosses_the_bus(value)})
        return rows

    async def connect(self, wish: Wish) -> dict[str, Any]:
        """Open a session; the status once the far end answers. Raises RdvError, with all undone."""
        if self._session is not None:
            raise Busy(
                f"this master is in a session with {self._session.wish.onsite}",
                "masterdev disconnect ends it",
            )
        shell = self._need_shell()
        session = self._session = MasterSession(wish, shell, self.network, self._port, self._step)
        self._ended = None
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        holding = self._holding = asyncio.create_task(self._hold(session, opened))
        await asyncio.wait({holding, opened}, return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            await holding
            raise session.over.result().error
        return self.status()

    async def disconnect(self) -> None:
        """End the session; returns when all is undone. Raises NoSession."""
        if self._session is None:
            raise NoSession("there is no session")
        session = self._session
        session.end(NoSession("the master disconnected"), as_wished=True)
        while self._session is session:
            await self._gone.wait()

    async def _hold(self, session: MasterSession, opened: asyncio.Future[None]) -> None:
        """A session's whole life. Raises nothing: why it is over is in session.over."""
        self._gone = asyncio.Event()
        watching = asyncio.create_task(session.watch_tunnel(lambda up: self.note(tunnel=up)))
        limit = None
        try:
            await until_over(session, session.wait())
            async with asyncio.timeout(UP_SECONDS) as patience:
                await until_over(session, session.open())
                patience.reschedule(None)
                if session.wish.time_limit:
                    limit = asyncio.get_running_loop().call_later(
                        session.wish.time_limit, self._time_is_up, session
                    )
                self.note(session=True)
                opened.set_result(None)
                await until_over(session, session.keep(self.note))
        except TimeoutError:
            session.end(Timeout(f"the session did not come up within {UP_SECONDS:.0f} s"))
        except RdvError as error:
            session.end(error)
        except asyncio.CancelledError:
            session.end(NoSession("the agent was stopped"))
        finally:
            if not session.over.done():
                session.end(RdvError("internal error; the journal has more"))
            if limit is not None:
                limit.cancel()
            ending = session.over.result()
            log.info("the session with %s is over: %s", session.wish.onsite, ending.error)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            leaving = asyncio.create_task(session.leave())
            await session.undo()
            with suppress(asyncio.CancelledError):
                await leaving
            self._session, self._ended = None, ending
            self.note(tunnel=False, session=False)
            self._gone.set()

    def _time_is_up(self, session: MasterSession) -> None:
        session.end(NoSession(f"the time limit of {session.wish.time_limit} s is over"), as_wished=True)

    def _step(self, text: str) -> None:
        log.info("%s", text)
        self.signal(STEP, "s", text)
        self.note()


def _crosses_the_bus(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float)


class _Interface(ServiceInterface):
    """org.rdv.MasterDev1."""

    def __init__(self, agent: MasterAgent) -> None:
        self._agent = agent
        super().__init__(BUS_NAMES[agent.role].interface)

    @buses.answers(STATUS)
    @buses.annotated("a{sv}")
    def status(self):  # type: ignore[no-untyped-def]
        return buses.variants(self._agent.status())

    @buses.answers(LIST_ONSITES)
    @buses.annotated("aa{sv}")
    async def list_onsites(self):  # type: ignore[no-untyped-def]
        return [buses.variants(row) for row in await self._agent.onsites()]

    @buses.answers(CONNECT)
    @buses.annotated("a{sv}", onsite="s", mode="s", reason="s", seconds="u", patience="u")
    async def connect(self, onsite, mode, reason, seconds, patience):  # type: ignore[no-untyped-def]
        if not onsite.isprintable() or not reason.isprintable() or len(reason) > 200:
            raise UsageError("onsite and reason must be printable, the reason at most 200 characters")
        wish = Wish(onsite, TunnelMode.parse(mode), reason, seconds, patience)
        return buses.variants(await self._agent.connect(wish))

    @buses.answers(DISCONNECT)
    @buses.annotated("")
    async def disconnect(self):  # type: ignore[no-untyped-def]
        await self._agent.disconnect()
