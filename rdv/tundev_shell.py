"""The tundev shell's service: one process for the restricted shells of all devices.

It has no privileges. Who a device is it reads from the kernel for its prompt;
what counts is what the manager reads from the same socket.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable

from rdv import contract, journal, peer
from rdv.manager_link import ManagerLink
from rdv.masterdev_shell import MasterShell
from rdv.onsitedev_shell import OnsiteShell
from rdv.shell_session import ShellSession
from vtunlib import bus as buses
from vtunlib.errors import RdvError
from vtunlib.service import Readiness, until_told

SHELLS: dict[str, type[ShellSession]] = {"onsite": OnsiteShell, "master": MasterShell}
"""By the FileDescriptorName of the socket unit."""

_BACKLOG = 1024
_FIRST_FD = 3  # sd_listen_fds(3)

log = logging.getLogger(__name__)


class ShellService:
    """All connections of all devices."""

    def __init__(self, link: Callable[[ShellService], ManagerLink]) -> None:
        # In the order in which they came: so they are attached again.
        self._sessions: dict[ShellSession, None] = {}
        self._attaching = asyncio.Lock()
        self._reattaching: asyncio.Task[None] | None = None
        self.link = link(self)
        self.link.on(contract.CHANGED, self._changed)
        self.link.on(contract.ENDED, self._ended)

    async def connected(
        self, kind: type[ShellSession], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection to its end."""
        try:
            account = peer.account(writer.get_extra_info("socket")).account
        except RdvError as error:
            log.warning("%s", error)
            writer.close()
            return
        session = kind(self.link, self._attaching, account, reader, writer)
        self._sessions[session] = None
        try:
            await session.serve()
        finally:
            del self._sessions[session]

    def manager_came(self) -> None:
        """The manager is there (again) and knows nobody."""
        self._reattaching = asyncio.create_task(self._reattach())

    def manager_gone(self) -> None:
        """The manager is away; the devices stay connected."""
        for session in self._sessions:
            session.detached()

    async def _reattach(self) -> None:
        for session in list(self._sessions):
            await session.attach()

    def _changed(self, accounts: list[str]) -> None:
        wanted = set(accounts)
        for session in self._sessions:
            if session.account in wanted:
                session.changed()

    def _ended(self, handle: str, line: str) -> None:
        for session in self._sessions:
            if session.handle == handle:
                session.detached()
                session.end(line)


def listening() -> dict[str, socket.socket]:
    """The sockets that systemd has passed, by name (sd_listen_fds(3)). Raises RdvError."""
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or set(names) != set(SHELLS):
        raise RdvError(
            "the sockets are missing", "start it by onsitedev-shell.socket, masterdev-shell.socket"
        )
    return {name: socket.socket(fileno=_FIRST_FD + index) for index, name in enumerate(names)}


async def serve() -> None:
    """Run the shell. Raises RdvError where it cannot start or loses the bus."""
    sockets = listening()
    bus = await buses.connect(negotiate_unix_fd=True)
    disconnected: asyncio.Future[None] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    service = ShellService(lambda shell: ManagerLink(bus, came=shell.manager_came, gone=shell.manager_gone))
    await service.link.start()
    for name, listener in sockets.items():
        await asyncio.start_unix_server(_server(service, SHELLS[name]), sock=listener, backlog=_BACKLOG)
    readiness = Readiness()
    readiness.ready("serving")
    await until_told(disconnected)
    readiness.stopping()


def _server(
    service: ShellService, kind: type[ShellSession]
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await service.connected(kind, reader, writer)

    return connected


def main() -> int:
    """Entry point of tundev-shell.service."""
    journal.set_up("tundev-shell")
    try:
        asyncio.run(serve())
    except RdvError as error:
        log.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
