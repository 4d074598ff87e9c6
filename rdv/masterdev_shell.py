"""What a master may say in the tundev shell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from rdv import contract
from rdv.contract import Fact
from rdv.shell.shell_session import COMMON, Command, ShellSession
from vtunlib.errors import UsageError
from vtunlib.tunnel import Role
from vtunlib.words import Wait, Word


class MasterShell(ShellSession):
    """A master's connection."""

    role = Role.MASTER
    commands: ClassVar[Mapping[str, Command]]

    async def show_online_onsite_devs(self, arguments: list[str]) -> list[str]:
        """The onsites that are online and that this master may reach."""
        verbose = _verbose(Word.SHOW_ONLINE_ONSITE_DEVS, arguments)
        rows: list[str] = await self.call(contract.LIST_ONSITES)
        return rows if verbose else [json.loads(row)["id"] for row in rows]

    async def set_tunnel_mode(self, arguments: list[str]) -> list[str]:
        """The mode of the next session."""
        return await self.tell(Fact.MODE, arguments[0])

    async def connect_to_onsite_dev(self, arguments: list[str]) -> list[str]:
        """Open a session; answered as soon as the leg may be dialled."""
        onsite, *reason = arguments
        await self.call(contract.CONNECT, onsite, " ".join(reason))
        return []

    async def wait_change(self, _arguments: list[str]) -> list[str]:
        """`changed` as soon as the list or the session changed, else `unchanged`."""
        return await self.wait(lambda _, changed: Wait.CHANGED if changed else None, Wait.UNCHANGED)

    async def show_remote_onsite_ip_config(self, arguments: list[str]) -> list[str]:
        """The onsite's LAN address, and its DNS servers."""
        verbose = _verbose(Word.SHOW_REMOTE_ONSITE_IP_CONFIG, arguments)
        lan, dns = await self.call(contract.REMOTE_IP_CONFIG)
        return [lan, " ".join(dns)] if verbose else [lan]

    async def session_status(self, _arguments: list[str]) -> list[str]:
        """`key: value` lines."""
        values: dict[str, str] = await self.call(contract.SESSION_STATUS)
        return [f"{key}: {value}" for key, value in values.items()]


def _verbose(word: Word, arguments: list[str]) -> bool:
    if arguments not in ([], ["-v"]):
        raise UsageError(f"expected: {word} [-v]")
    return bool(arguments)


MasterShell.commands = {
    **COMMON,
    Word.SHOW_ONLINE_ONSITE_DEVS: Command(
        MasterShell.show_online_onsite_devs,
        (0, 1),
        "show_online_onsite_devs [-v]",
        "-v: one JSON object a line",
    ),
    Word.SET_TUNNEL_MODE: Command(
        MasterShell.set_tunnel_mode, (1, 1), "set_tunnel_mode L2|L3", "of the next session"
    ),
    Word.CONNECT_TO_ONSITE_DEV: Command(
        MasterShell.connect_to_onsite_dev, (1, 64), "connect_to_onsite_dev ID ['REASON']", "open a session"
    ),
    Word.WAIT_CHANGE: Command(
        MasterShell.wait_change, (0, 0), "wait_change", "at most 60 s: changed or unchanged"
    ),
    Word.SHOW_REMOTE_ONSITE_IP_CONFIG: Command(
        MasterShell.show_remote_onsite_ip_config,
        (0, 1),
        "show_remote_onsite_ip_config [-v]",
        "LAN address, -v: and DNS servers",
    ),
    Word.SESSION_STATUS: Command(MasterShell.session_status, (0, 0), "session_status", "key: value lines"),
}
