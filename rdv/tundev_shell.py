"""The tundev shell's service: one process for the restricted shells of all devices.

It has no privileges. Who a device is it reads from the kernel for its prompt;
what counts is what the manager reads from the same socket. Told to end, it hands
the devices' connections over to the next process (rdv.shell.handover).
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from rdv import contract, journal, peer
from rdv.masterdev_shell import MasterShell
from rdv.onsitedev_shell import OnsiteShell
from rdv.pace import Pace
from rdv.shell import descriptor_store, handover
from rdv.shell.handover import Standing
from rdv.shell.manager_link import ManagerLink
from rdv.shell.shell_session import ShellSession
from vtunlib import bus as buses
from vtunlib.errors import Busy, RdvError
from vtunlib.service import Readiness, exit_code, until_told

SHELLS: dict[str, type[ShellSession]] = {"onsite": OnsiteShell, "master": MasterShell}
"""By the FileDescriptorName of the socket unit."""

_ACCEPT_PAUSE = 1.0
"""Seconds until the next try where no connection can be taken."""

CONNECTIONS_AT_ONCE = 60
CONNECTIONS_A_SECOND = 0.2
"""Of one account. Each is two events of the audit, whose size is bounded: who floods it would empty it."""

log = logging.getLogger(__name__)


class ShellService:
    """All connections of all devices."""

    per_account = 4
    """Connections of one account at once. A device has one, and for a moment the one that it comes after."""

    def __init__(self, link: Callable[[ShellService], ManagerLink]) -> None:
        # In the order in which they came: so they are attached again, and handed over.
        self._sessions: dict[ShellSession, None] = {}
        self._paces: dict[str, Pace] = {}
        self._listeners: list[socket.socket] = []
        self._attaching = asyncio.Lock()
        self._reattaching: asyncio.Task[None] | None = None
        self.link = link(self)
        self.link.on(contract.CHANGED, self._changed)
        self.link.on(contract.ENDED, self._ended)

    def listen(self, listener: socket.socket, kind: type[ShellSession]) -> None:
        """Serve who connects there, until `rest`."""
        listener.setblocking(False)
        self._listeners.append(listener)
        self._watch(listener, kind)

    def _watch(self, listener: socket.socket, kind: type[ShellSession]) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener, kind)

    def _accept(self, listener: socket.socket, kind: type[ShellSession]) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # no descriptor or no memory is left: who comes waits in the backlog
            log.error("no connection can be taken: %s", error)
            loop.remove_reader(listener)
            loop.call_later(_ACCEPT_PAUSE, self._watch, listener, kind)
            return
        if not self._has_room(connection):
            return
        now = int(time.time())
        self.serve(connection, kind, Standing(peer.cookie(connection), kind.role, since=now))

    def _has_room(self, connection: socket.socket) -> bool:
        """Whether its account may have one more; if not, it is told so and closed."""
        try:
            account = peer.account(connection).account
        except RdvError:
            return True  # `serve` says why not
        pace = self._paces.setdefault(account, Pace(CONNECTIONS_AT_ONCE, CONNECTIONS_A_SECOND))
        if sum(one.account == account and one.is_open for one in self._sessions) >= self.per_account:
            log.warning("%s: more than %d connections at once", account, self.per_account)
            busy = Busy(f"{account} has {self.per_account} connections at once already", "close one of them")
        elif held := pace.take(time.monotonic()):
            log.warning("%s: connects too often", account)
            busy = Busy(f"{account} connects too often", f"try again in {math.ceil(held)} s")
        else:
            return True
        with suppress(OSError):
            connection.send(f"{busy.shell_line()}\n".encode(), socket.MSG_DONTWAIT)
        connection.close()
        return False

    def serve(self, connection: socket.socket, kind: type[ShellSession], standing: Standing) -> None:
        """Serve one connection to its end, from where it stands."""
        try:
            account = peer.account(connection).account
        except RdvError as error:
            log.warning("%s", error)
            connection.close()
            return
        session = kind(self.link, self._attaching, account, connection, standing)
        self._sessions[session] = None
        session.start().add_done_callback(lambda task: self._served(session, task))

    def _served(self, session: ShellSession, task: asyncio.Task[None]) -> None:
        self._sessions.pop(session, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s", session.account, exc_info=error)

    async def rest(self) -> list[tuple[socket.socket, Standing]]:
        """Take nobody in any more; all connections that another process can go on with."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
        self._listeners.clear()
        if self._reattaching is not None:
            self._reattaching.cancel()
        with suppress(RdvError):  # a manager that is away knows nobody: the next process attaches them
            await self.link.call(contract.HAND_OVER)
        rested = await asyncio.gather(*(session.rest() for session in self._sessions))
        return [one for one in rested if one is not None]

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
                session.news.set()

    def _ended(self, handle: str, line: str) -> None:
        for session in self._sessions:
            if session.handle == handle:
                session.detached()
                session.end(line)


def listening(passed: dict[str, list[int]]) -> dict[str, socket.socket]:
    """The sockets that systemd has passed, by name (sd_listen_fds(3)). Raises RdvError."""
    if not set(SHELLS) <= set(passed):
        raise RdvError(
            "the sockets are missing", "start it by onsitedev-shell.socket, masterdev-shell.socket"
        )
    return {name: socket.socket(fileno=passed[name][0]) for name in SHELLS}


async def serve() -> None:
    """Run the shell. Raises RdvError where it cannot start or loses the bus."""
    passed = descriptor_store.passed()
    sockets = listening(passed)
    bus = await buses.connect(negotiate_unix_fd=True)
    disconnected: asyncio.Future[None] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    service = ShellService(lambda shell: ManagerLink(bus, came=shell.manager_came, gone=shell.manager_gone))
    await service.link.start()
    for connection, standing in handover.take(passed):
        service.serve(connection, SHELLS[standing.role], standing)
    for name, listener in sockets.items():
        service.listen(listener, SHELLS[name])
    readiness = Readiness()
    readiness.ready("serving")
    try:
        await until_told(disconnected)
    finally:
        readiness.stopping()
        handover.leave(await service.rest())


def main() -> int:
    """Entry point of tundev-shell.service."""
    journal.set_up("tundev-shell")
    return exit_code(serve)


if __name__ == "__main__":
    sys.exit(main())
