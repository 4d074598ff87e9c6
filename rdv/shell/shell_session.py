"""What both roles may say in the tundev shell, and what each role's commands have in common.

It decides nothing: it parses, asks the manager and words the answer. While the
manager is away commands are refused and waits wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rdv import contract
from rdv.contract import Fact, Method
from rdv.shell.conversation import Conversation
from rdv.shell.manager_link import ManagerAway
from vtunlib import words
from vtunlib.errors import RdvError, UsageError
from vtunlib.words import Wait, Word


@dataclass(frozen=True)
class Command:
    """A word of the shell. arguments: how many it takes, at least and at most."""

    run: Callable[[Any, list[str]], Awaitable[list[str]]]
    arguments: tuple[int, int]
    usage: str
    summary: str


class ShellSession(Conversation):
    """One device's conversation with the shell. A role adds its commands."""

    commands: ClassVar[Mapping[str, Command]]

    async def answer(self, line: list[str]) -> list[str]:
        """The answer to a command line."""
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

    # for the roles' commands

    async def call(self, method: Method, *arguments: Any) -> Any:
        """Ask the manager about this connection. Raises its errors, ManagerAway."""
        if not self.handle:
            raise ManagerAway
        return await self.link.call(method, self.handle, *arguments)

    async def tell(self, fact: Fact, text: str) -> list[str]:
        """Tell the manager a fact, and remember it for the manager's next start."""
        await self.call(contract.SET_FACT, str(fact), text)
        self.standing.facts[str(fact)] = text
        return []

    async def wait(self, news: Callable[[str, bool], Wait | None], otherwise: Wait) -> list[str]:
        """Wait for news until WAIT_SECONDS are over or the device sends something.

        news: given the session's id and whether what the device may see has
        changed; None where that is no news.
        """
        ends = self.wait_until(asyncio.get_running_loop().time() + words.WAIT_SECONDS)
        with self.interruptible():
            return [await self._await_news(news, ends) or otherwise]

    async def _await_news(self, news: Callable[[str, bool], Wait | None], ends: float) -> Wait | None:
        loop = asyncio.get_running_loop()
        reading = self.read_ahead()
        while True:
            self.news.clear()
            try:
                session, revision = await self.call(contract.LOOK)
            except RdvError:
                pass  # the manager is away
            else:
                seen, self.standing.revision = self.standing.revision, revision
                answer = news(session, seen != revision)
                if answer is not None:
                    return answer
            waking = asyncio.create_task(self.news.wait())
            try:
                await asyncio.wait(
                    {reading, waking}, timeout=ends - loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                waking.cancel()
            if reading.done() or not self.news.is_set():
                return None

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
        self.standing.debug = arguments[0] == "on"
        return []

    async def help(self, _arguments: list[str]) -> list[str]:
        """Each command with its arguments and what it is for."""
        return [f"{command.usage:<58} {command.summary}" for command in self.commands.values()]

    async def logout(self, _arguments: list[str]) -> list[str]:
        """End the connection."""
        self.close()
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
