"""One device's connection to the tundev shell: from its prompt to its end, or to another process.

While the manager is away the connection stays. When the service is told to end,
each connection is brought to rest, and the next process goes on where this one
stopped: the device notices nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from rdv import contract
from rdv.pace import Pace
from rdv.shell.handover import Standing
from rdv.shell.lines import Lines
from rdv.shell.manager_link import ManagerAway, ManagerLink
from vtunlib import words
from vtunlib.errors import NotAllowed, RdvError, printable
from vtunlib.tunnel import Role

WRITE_SECONDS = 30.0
"""How long a device may take to read an answer."""
LINES_AT_ONCE = 200
LINES_A_SECOND = 20.0
"""A device's agent says a dozen lines when it comes, and one in a while after that."""
REST_SECONDS = 5.0
"""How long a command under way may take when the service ends; the longest opens a session."""

log = logging.getLogger(__name__)


class Conversation(ABC):
    """A connection that is served line by line."""

    role: ClassVar[Role]

    def __init__(
        self,
        link: ManagerLink,
        attaching: asyncio.Lock,
        account: str,
        connection: socket.socket,
        standing: Standing,
    ) -> None:
        """attaching: held while a connection is attached, so that the manager sees them in their order.

        standing: of a connection that a former process has left, how it left it.
        """
        self.account = account
        self.handle = ""
        self.link = link
        self.standing = standing
        self.news = asyncio.Event()
        """There may be something new for a wait."""
        self._attaching = attaching
        self._lines = Lines(connection)
        self._lines.unread += standing.unread
        self._lines.overlong = standing.overlong
        self._lines.unsent += standing.unsent
        self._pace = Pace(LINES_AT_ONCE, LINES_A_SECOND)
        self._line: list[str] = []
        self._reading: asyncio.Task[None] | None = None
        self._serving: asyncio.Task[None] | None = None
        self._quiet = asyncio.Event()
        self._resting = False
        self._open = True
        self._farewell = ""

    @abstractmethod
    async def answer(self, line: list[str]) -> list[str]:
        """The answer to a command line, given in words. Raises RdvError."""

    # from the service

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self._open

    def start(self) -> asyncio.Task[None]:
        """Serve the device until it or the manager ends the connection, or `rest` is called."""
        self._serving = asyncio.create_task(self._serve())
        return self._serving

    async def attach(self) -> None:
        """Tell the manager of this connection, for the first time or once more after its restart."""
        async with self._attaching:
            if self.handle or not self._open or self._resting:
                return
            standing = self.standing
            try:
                # A copy: until the message is sent, the device may end the connection.
                with self._lines.connection.dup() as copy:
                    answer = await self.link.call(
                        contract.ATTACH, 0, standing.since, standing.facts, fds=[copy.fileno()]
                    )
            except ManagerAway:
                return
            except RdvError as error:
                self.end(error.shell_line())
                return
            self.handle, account, role, revision = answer
            if not self._open:
                await self._detach()  # it has ended meanwhile
                return
            if role != self.role or account != self.account:
                self.end(NotAllowed(f"{self.account} is no device of role {self.role}").shell_line())
                return
            if standing.revision is None:
                standing.revision = revision
            self.news.set()

    def detached(self) -> None:
        """The manager is gone, and with it what it knew of this connection."""
        self.handle = ""

    def end(self, line: str) -> None:
        """Tell the device this line and close its connection."""
        self._farewell = self._farewell or line
        self._open = False
        if self._serving is not None and self._serving is not asyncio.current_task():
            self._serving.cancel()

    async def rest(self) -> tuple[socket.socket, Standing] | None:
        """Stop, with the connection open: how another process can go on. None where it has ended.

        A command under way is given REST_SECONDS.
        """
        assert self._serving is not None
        self._resting = True
        deadline = asyncio.get_running_loop().time() + REST_SECONDS
        while not self._serving.done() and not self._quiet.is_set():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                log.warning("%s: a command is cut off: %s", self.account, " ".join(self._line[:1]))
                self._put([RdvError("the RDV's shell was restarted", "say it again").shell_line()])
                break
            quiet = asyncio.create_task(self._quiet.wait())
            await asyncio.wait({self._serving, quiet}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            quiet.cancel()
        self._serving.cancel()
        await asyncio.wait({self._serving})
        await self._stop_reading()
        if not self._open:
            return None
        self.standing.unread, self.standing.overlong = bytes(self._lines.unread), self._lines.overlong
        self.standing.unsent = bytes(self._lines.unsent)
        return self._lines.connection, self.standing

    # for commands

    def close(self) -> None:
        """End the connection after this command."""
        self._open = False

    def read_ahead(self) -> asyncio.Task[None]:
        """Done when the device has said more: that ends a wait, and is served after it."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._lines.arrived())
        return self._reading

    def wait_until(self, ends: float) -> float:
        """When the command that is answered now stops waiting: then, or as a former process told it."""
        if not self.standing.wait:
            self.standing.wait, self.standing.ends = self._line, ends
        return self.standing.ends

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Here the connection may be stopped, for nothing is lost by it."""
        self._quiet.set()
        try:
            yield
        finally:
            self._quiet.clear()

    # lines

    async def _serve(self) -> None:
        try:
            with self.interruptible():
                await self.attach()
            if self._open and not self.standing.greeted:
                self.standing.greeted = True
                self._put([])
            await self._send()
            while self._open and not self._resting:
                self._put(await self._serve_line())
                await self._send()
        except (EOFError, ConnectionError, TimeoutError):
            self._open = False  # the device is gone, or reads no more
        except asyncio.CancelledError:
            if not self._farewell and not self._resting:
                raise
        finally:
            if not self._open or not self._resting:
                await self._end()

    async def _serve_line(self) -> list[str]:
        try:
            self._line = self.standing.wait or words.parse(await self._next_line())
            answer = await self.answer(self._line)
        except RdvError as error:
            answer = [error.shell_line()]
        except (EOFError, ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("%s", self.account)
            answer = [RdvError("internal error of the shell", "the RDV's journal has more").shell_line()]
        self.standing.wait = []
        return answer

    async def _next_line(self) -> str:
        with self.interruptible():
            try:
                await self.read_ahead()
            finally:
                self._reading = None
            loop = asyncio.get_running_loop()
            if held := self._pace.take(loop.time()):
                # Held back, not refused: what more it sends waits in its own buffers.
                await asyncio.sleep(held)
                self._pace.take(loop.time())
        line = self._lines.take()
        if self.standing.debug:
            log.info("%s: %s", self.account, line)
        return line

    def _put(self, lines: list[str]) -> None:
        prompt = words.prompt(self.account) if self._open else ""
        self._lines.put("".join(f"{printable(line, len(line))}\n" for line in lines) + prompt)

    async def _send(self) -> None:
        with self.interruptible():
            async with asyncio.timeout(WRITE_SECONDS):
                await self._lines.send()

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            reading, self._reading = self._reading, None
            reading.cancel()
            await asyncio.wait({reading})

    async def _end(self) -> None:
        self._open = False
        await self._stop_reading()
        if self._farewell:
            self._lines.put(f"{self._farewell}\n")
            try:
                await self._send()
            except (ConnectionError, TimeoutError):
                log.info("%s was not told: %s", self.account, self._farewell)
        self._lines.close()
        await self._detach()

    async def _detach(self) -> None:
        """Tell the manager, if it knows of this connection, that it is over."""
        if self.handle:
            handle, self.handle = self.handle, ""
            try:
                await self.link.call(contract.DETACH, handle)
            except RdvError as error:
                log.info("%s: %s", self.account, error)
