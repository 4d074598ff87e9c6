"""One device's connection to the tundev shell: lines in, answers out, and what both roles may say.

It decides nothing: it parses, asks the manager and words the answer. While the
manager is away the connection stays; commands are refused and waits wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rdv import contract
from rdv.contract import Fact, Method
from rdv.lines import Lines
from rdv.manager_link import ManagerAway, ManagerLink
from vtunlib import words
from vtunlib.errors import NotAllowed, RdvError, UsageError, printable
from vtunlib.tunnel import Role
from vtunlib.words import Wait, Word

WRITE_SECONDS = 30.0
"""How long a device may take to read an answer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Command:
    """A word of the shell. arguments: how many it takes, at least and at most."""

    run: Callable[[Any, list[str]], Awaitable[list[str]]]
    arguments: tuple[int, int]
    usage: str
    summary: str


class ShellSession:
    """One connection, from its prompt to its end."""

    role: ClassVar[Role]
    commands: ClassVar[Mapping[str, Command]]

    def __init__(
        self,
        link: ManagerLink,
        attaching: asyncio.Lock,
        account: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """attaching: held while a connection is attached, so that the manager sees them in their order."""
        self.account = account
        self.handle = ""
        self._link = link
        self._attaching = attaching
        self._lines = Lines(reader)
        self._writer = writer
        self._reading: asyncio.Task[str] | None = None
        self._changed = asyncio.Event()
        self._since = int(time.time())
        self._facts: dict[str, str] = {}
        self._revision: int | None = None
        self._debug = False
        self._open = True
        self._farewell = ""
        self._serving: asyncio.Task[Any] | None = None

    # from the service

    async def serve(self) -> None:
        """Serve the device until it or the manager ends the connection."""
        self._serving = asyncio.current_task()
        try:
            await self.attach()
            if self._open:
                await self._write([])
            while self._open:
                answer = await self._serve_line()
                await self._write(answer)
        except (EOFError, ConnectionError, TimeoutError):
            pass  # the device is gone, or reads no more
        except asyncio.CancelledError:
            if not self._farewell:
                raise
        finally:
            await self._close()

    async def attach(self) -> None:
        """Tell the manager of this connection, for the first time or once more after its restart."""
        async with self._attaching:
            if self.handle or not self._open:
                return
            socket = self._writer.get_extra_info("socket")
            try:
                answer = await self._link.call(
                    contract.ATTACH, 0, self._since, self._facts, fds=[socket.fileno()]
                )
            except ManagerAway:
                return
            except RdvError as error:
                self.end(error.shell_line())
                return
            self.handle, account, role, revision = answer
            if role != self.role or account != self.account:
                self.end(NotAllowed(f"{self.account} is no device of role {self.role}").shell_line())
                return
            if self._revision is None:
                self._revision = revision
            self._changed.set()

    def detached(self) -> None:
        """The manager is gone, and with it what it knew of this connection."""
        self.handle = ""

    def changed(self) -> None:
        """There may be news for a wait."""
        self._changed.set()

    def end(self, line: str) -> None:
        """Tell the device this line and close its connection."""
        self._farewell = self._farewell or line
        self._open = False
        if self._serving is not None and self._serving is not asyncio.current_task():
            self._serving.cancel()

    # lines

    async def _serve_line(self) -> list[str]:
        try:
            line = await self._next_line()
            if self._debug:
                log.info("%s: %s", self.account, line)
            return await self._answer(words.parse(line))
        except RdvError as error:
            return [error.shell_line()]
        except (EOFError, ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("%s", self.account)
            return [RdvError("internal error of the shell", "the RDV's journal has more").shell_line()]

    async def _answer(self, line: list[str]) -> list[str]:
        if not line:
            return []
        word, *arguments = line
        command = self.commands.get(word)
        if command is None:
            raise UsageError(f"{word[:40]!r} is no command", "help lists the commands")
        least, most = command.arguments
        if not least <= len(arguments) <= most:
            raise UsageError(f"expected: {command.usage}")
        return await command.run(self, arguments)

    async def _next_line(self) -> str:
        reading = self._read_ahead()
        try:
            return await reading
        finally:
            self._reading = None

    def _read_ahead(self) -> asyncio.Task[str]:
        """The line that comes next, read before anybody asks: it ends a wait, and is served after it."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._lines.next())
        return self._reading

    async def _write(self, lines: list[str]) -> None:
        prompt = words.prompt(self.account) if self._open else ""
        text = "".join(f"{printable(line, len(line))}\n" for line in lines) + prompt
        self._writer.write(text.encode())
        async with asyncio.timeout(WRITE_SECONDS):
            await self._writer.drain()

    async def _close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._farewell:
            self._writer.write(f"{self._farewell}\n".encode())
        self._writer.close()
        if self.handle:
            handle, self.handle = self.handle, ""
            try:
                await self._link.call(contract.DETACH, handle)
            except RdvError as error:
                log.info("%s: %s", self.account, error)

    # for the roles' commands

    async def call(self, method: Method, *arguments: Any) -> Any:
        """Ask the manager about this connection. Raises its errors, ManagerAway."""
        if not self.handle:
            raise ManagerAway
        return await self._link.call(method, self.handle, *arguments)

    async def tell(self, fact: Fact, text: str) -> list[str]:
        """Tell the manager a fact, and remember it for the manager's next start."""
        await self.call(contract.SET_FACT, str(fact), text)
        self._facts[str(fact)] = text
        return []

    async def wait(self, news: Callable[[str, bool], Wait | None], otherwise: Wait) -> list[str]:
        """Wait for news until WAIT_SECONDS are over or the device sends something.

        news: given the session's id and whether what the device may see has
        changed; None where that is no news.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + words.WAIT_SECONDS
        reading = self._read_ahead()
        while True:
            self._changed.clear()
            try:
                session, revision = await self.call(contract.LOOK)
            except RdvError:
                pass  # the manager is away
            else:
                seen, self._revision = self._revision, revision
                answer = news(session, seen != revision)
                if answer is not None:
                    return [answer]
            waking = asyncio.create_task(self._changed.wait())
            await asyncio.wait(
                {reading, waking}, timeout=ends - loop.time(), return_when=asyncio.FIRST_COMPLETED
            )
            waking.cancel()
            if reading.done() or not self._changed.is_set():
                return [otherwise]

    # the commands of both roles

    async def get_role(self, _arguments: list[str]) -> list[str]:
        """`onsite` or `master`."""
        return [self.role]

    async def get_tunnel_mode(self, _arguments: list[str]) -> list[str]:
        """`L2`, `L3` or `(unknown)`."""
        return [await self.call(contract.GET_TUNNEL_MODE)]

    async def set_lan(self, arguments: list[str]) -> list[str]:
        """The device's address on its LAN."""
        return await self.tell(Fact.LAN, arguments[0])

    async def set_dns(self, arguments: list[str]) -> list[str]:
        """The LAN's DNS servers."""
        return await self.tell(Fact.DNS, " ".join(arguments))

    async def set_hostname(self, arguments: list[str]) -> list[str]:
        """The device's own name."""
        return await self.tell(Fact.HOSTNAME, arguments[0])

    async def set_version(self, arguments: list[str]) -> list[str]:
        """The version of the device's packages."""
        return await self.tell(Fact.VERSION, arguments[0])

    async def get_vtun_parameters(self, _arguments: list[str]) -> list[str]:
        """`key: value` lines."""
        lines: list[str] = await self.call(contract.GET_VTUN_PARAMETERS)
        return lines

    async def drop_vtun(self, arguments: list[str]) -> list[str]:
        """End the session."""
        await self.call(contract.DROP, " ".join(arguments))
        return []

    async def echo(self, arguments: list[str]) -> list[str]:
        """The arguments."""
        return [" ".join(arguments)]

    async def debug_mode(self, arguments: list[str]) -> list[str]:
        """Whether the commands of this connection are told in the RDV's journal."""
        if arguments[0] not in ("on", "off"):
            raise UsageError("expected: debug_mode on|off")
        self._debug = arguments[0] == "on"
        return []

    async def help(self, _arguments: list[str]) -> list[str]:
        """Each command with its arguments and what it is for."""
        return [f"{command.usage:<58} {command.summary}" for command in self.commands.values()]

    async def logout(self, _arguments: list[str]) -> list[str]:
        """End the connection."""
        self._open = False
        return []


_ANY = 64

COMMON: Mapping[str, Command] = {
    Word.GET_ROLE: Command(ShellSession.get_role, (0, 0), "get_role", "onsite or master"),
    Word.GET_TUNNEL_MODE: Command(
        ShellSession.get_tunnel_mode, (0, 0), "get_tunnel_mode", "L2, L3 or (unknown)"
    ),
    Word.SET_LAN_IP_ADDRESS: Command(
        ShellSession.set_lan, (1, 1), "set_tunnelling_dev_lan_ip_address ADDRESS/PREFIX", "as 192.168.1.2/24"
    ),
    Word.SET_DNS_SERVER_LIST: Command(
        ShellSession.set_dns, (0, _ANY), "set_tunnelling_dev_dns_server_list [ADDRESS…]", "the LAN's"
    ),
    Word.SET_HOSTNAME: Command(
        ShellSession.set_hostname, (1, 1), "set_tunnelling_dev_hostname 'NAME'", "the device's own name"
    ),
    Word.SET_VERSION: Command(
        ShellSession.set_version, (1, 1), "set_tunnelling_dev_version 'TEXT'", "of the device's packages"
    ),
    Word.GET_VTUN_PARAMETERS: Command(
        ShellSession.get_vtun_parameters, (0, 0), "get_vtun_parameters", "of the device's leg"
    ),
    Word.DROP_VTUN: Command(ShellSession.drop_vtun, (0, _ANY), "drop_vtun ['REASON']", "end the session"),
    Word.ECHO: Command(ShellSession.echo, (0, _ANY), "echo [WORD…]", "the words again"),
    Word.DEBUG_MODE: Command(
        ShellSession.debug_mode, (1, 1), "debug_mode on|off", "tell commands in the RDV's journal"
    ),
    Word.HELP: Command(ShellSession.help, (0, 0), "help", "this list"),
    Word.EXIT: Command(ShellSession.logout, (0, 0), "exit", "end the connection"),
    Word.LOGOUT: Command(ShellSession.logout, (0, 0), "logout", "end the connection"),
}
"""The commands of both roles."""
