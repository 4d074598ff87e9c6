"""What an onsite may say in the tundev shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rdv.contract import Fact
from rdv.shell.shell_session import COMMON, Command, ShellSession
from vtunlib.tunnel import Role
from vtunlib.words import Wait, Word


class OnsiteShell(ShellSession):
    """An onsite's connection."""

    role = Role.ONSITE
    commands: ClassVar[Mapping[str, Command]]

    async def set_uplink_type(self, arguments: list[str]) -> list[str]:
        """How the device reaches the RDV."""
        return await self.tell(Fact.UPLINK, arguments[0])

    async def set_location(self, arguments: list[str]) -> list[str]:
        """Where the device is, in words."""
        return await self.tell(Fact.LOCATION, arguments[0])

    async def wait_master_connection(self, _arguments: list[str]) -> list[str]:
        """`ready` for a session, `reset` after it, `not_ready` where nothing happened."""
        return await self.wait(self._news, Wait.NOT_READY)

    def _news(self, session: str, _changed: bool) -> Wait | None:
        if self.standing.told and session != self.standing.told:
            self.standing.told = ""
            return Wait.RESET
        if session and not self.standing.told:
            self.standing.told = session
            return Wait.READY
        return None


OnsiteShell.commands = {
    **COMMON,
    Word.SET_UPLINK_TYPE: Command(
        OnsiteShell.set_uplink_type,
        (1, 1),
        "set_tunnelling_dev_uplink_type lan|wlan|3g|other",
        "how it reaches the RDV",
    ),
    Word.SET_LOCATION: Command(
        OnsiteShell.set_location, (1, 1), "set_tunnelling_dev_location 'TEXT'", "where it is"
    ),
    Word.WAIT_MASTER_CONNECTION: Command(
        OnsiteShell.wait_master_connection,
        (0, 0),
        "wait_master_connection",
        "at most 60 s: ready, reset or not_ready",
    ),
}
