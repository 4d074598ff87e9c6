"""A session's legs: the socket that a device dials, and the vtund that then holds its connection.

The relay at the other end of the socket runs as the device's account, so the
socket's owner and mode are the lock and the kernel the judge.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from rdv import peer
from rdv.sessions import session_files
from rdv.sessions.session import Session
from vtunlib import units
from vtunlib.errors import MissingProgram, RdvError
from vtunlib.namespace import path as namespace_path
from vtunlib.tunnel import Role

DIRECTORY = Path("/run/rdv/leg")
_ACCEPT_PAUSE = 1.0
"""Seconds to wait where the process is out of descriptors, as asyncio's own servers do."""

log = logging.getLogger(__name__)


def socket_path(account: str, directory: Path = DIRECTORY) -> Path:
    """Where that device's relay finds its leg."""
    return directory / f"{account}.sock"


class LegSocket:
    """Where one device's leg may be dialled for as long as its session lives."""

    def __init__(
        self,
        account: str,
        uid: int,
        taken: Callable[[socket.socket], Awaitable[None]],
        directory: Path = DIRECTORY,
    ) -> None:
        self.path = socket_path(account, directory)
        self._uid = uid
        self._taken = taken
        self._listener: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._taking: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Listen. What a dead manager left in its place is replaced. Raises RdvError."""
        new = self.path.with_name(f".{self.path.name}")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            new.unlink(missing_ok=True)
            listener.bind(str(new))
            new.chmod(0o600)
            os.chown(new, self._uid, 0)
            listener.listen(2)
            # Only now has it a name that somebody dials.
            new.rename(self.path)
        except OSError as error:
            listener.close()
            raise RdvError(f"cannot listen on {self.path}: {error.strerror}") from None
        self._listener = listener
        self._serving = asyncio.create_task(self._serve(listener))

    def close(self) -> None:
        """Listen no more; nothing of it is left in the file system."""
        if self._serving is not None:
            self._serving.cancel()
            self._serving = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self.path.unlink(missing_ok=True)

    async def idle(self) -> None:
        """Wait until no connection is being taken. Call it after `close`."""
        if self._taking is not None:
            await self._taking

    async def _serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                log.error("%s: %s", self.path, error.strerror)
                await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            # A task of its own: who ends this loop must not take the descriptor from under a thread.
            self._taking = asyncio.create_task(self._take(connection))
            await asyncio.shield(self._taking)

    async def _take(self, connection: socket.socket) -> None:
        with connection:
            try:
                if (caller := peer.uid(connection)) != self._uid:
                    log.warning("%s: uid %d is not its owner", self.path, caller)
                    return
                await self._taken(connection)
            except (RdvError, OSError) as error:
                log.error("%s: %s", self.path, error)


def unit(session_id: str, role: Role) -> str:
    """Name of the unit in which the vtund of that leg runs."""
    return f"rdv-leg-{session_id}-{role}.service"


def vtund() -> str:
    """Path of vtund. Raises MissingProgram."""
    found = shutil.which("vtund", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/bin")
    if found is None:
        raise MissingProgram("vtund is not installed on the RDV", "its admin installs the package vtun")
    return found


async def start_vtund(session: Session, role: Role, connection: socket.socket) -> None:
    """Give the leg's connection to a vtund of its own, without any right, in the session's namespace.

    The leg's device is persistent and up, so vtund needs no capability. Raises
    RdvError, MissingProgram.
    """
    program = vtund()
    file = session_files.save_leg(session, role)
    connection.setblocking(True)  # vtund reads whole packets
    await asyncio.to_thread(
        units.start_transient,
        unit(session.id, role),
        # systemd expands neither specifiers nor variables in a transient unit's command.
        [program, "-i", "-f", f"/run/credentials/{unit(session.id, role)}/vtund.conf"],
        stdin=connection.fileno(),
        properties={
            "Description": f"Leg of {session.leg(role).account} in session {session.id}",
            "NetworkNamespacePath": str(namespace_path(session.namespace)),
            "LoadCredential": [("vtund.conf", str(file))],
        }
        | SANDBOX,
    )


SANDBOX: dict[str, object] = {
    "DynamicUser": True,
    "StandardError": "null",  # it logs by syslog, which is the journal
    "CapabilityBoundingSet": 0,
    "NoNewPrivileges": True,
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "ProtectClock": True,
    "ProtectControlGroups": True,
    "ProtectHostname": True,
    "ProtectKernelLogs": True,
    "ProtectKernelModules": True,
    "ProtectKernelTunables": True,
    "ProtectProc": "invisible",
    "ProcSubset": "pid",
    "PrivateTmp": True,
    "LockPersonality": True,
    "MemoryDenyWriteExecute": True,
    "RestrictRealtime": True,
    "RestrictSUIDSGID": True,
    "RestrictNamespaces": 0,
    "RestrictAddressFamilies": (True, ["AF_UNIX", "AF_INET"]),
    "SystemCallArchitectures": ["native"],
    "SystemCallFilter": (True, ["@system-service"]),
    "DevicePolicy": "closed",
    "DeviceAllow": [("/dev/net/tun", "rw")],
    "TasksMax": 4,
    "MemoryMax": 32 << 20,
    "CollectMode": "inactive-or-failed",
    "TimeoutStopUSec": 2_000_000,
}
"""Properties of a leg's unit, as D-Bus has them."""
