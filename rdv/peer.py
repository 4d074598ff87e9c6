"""Who is at the other end of a Unix socket: the kernel's word, and nobody else's."""

from __future__ import annotations

import grp
import pwd
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from rdv.devices import Device, DeviceStore
from vtunlib.errors import ConfigError, NotAllowed, NotFound, UsageError
from vtunlib.tunnel import Role

DEVICES_GROUP = "rdv-tundev"
ROLE_GROUPS = {Role.ONSITE: "rdv-onsite", Role.MASTER: "rdv-master"}
_SO_COOKIE = 57  # asm-generic/socket.h; Python has no name for it


_PARENTS = 5
"""A relay, the sshd of its session, that of the connection, and two more."""


@dataclass(frozen=True)
class Peer:
    """A device's account as the kernel and the account database know it."""

    account: str
    uid: int


def uid(connection: socket.socket) -> int:
    """The uid of who connected (SO_PEERCRED, socket(7)). Raises NotAllowed on another kind of socket."""
    return _credentials(connection)[1]


def pids(connection: socket.socket) -> list[int]:
    """The process that connected, its parent, and so on to its sshd; fewer where one has ended.

    Not who it is, but a hint: by the time it is looked at a process may be another one.
    """
    found: list[int] = []
    pid = _credentials(connection)[0]
    while pid > 1 and len(found) < _PARENTS:
        found.append(pid)
        try:
            # proc(5): the name before it, in brackets, may hold anything.
            pid = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            break
    return found


def cookie(connection: socket.socket) -> int:
    """The kernel's number of this socket (SO_COOKIE): the same in every process, and never another's."""
    return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder)


def account(connection: socket.socket) -> Peer:
    """The account of who connected. Raises NotAllowed."""
    number = uid(connection)
    try:
        return Peer(pwd.getpwuid(number).pw_name, number)
    except KeyError:
        raise NotAllowed(f"uid {number} is no account") from None


def device(connection: socket.socket, store: DeviceStore) -> tuple[Device, int]:
    """The device that connected, and its uid. Raises NotAllowed where it is none, or not as it should be."""
    peer = account(connection)
    try:
        known = store.read(peer.account)
    except (NotFound, UsageError):
        raise NotAllowed(f"{peer.account} is no device", "the admin adds it with rdv-admin") from None
    except ConfigError as error:
        raise NotAllowed(f"the file of device {peer.account} cannot be taken: {error}") from None
    if known.disabled:
        raise NotAllowed(f"{peer.account} is disabled", "the RDV's admin can enable it")
    for name in (DEVICES_GROUP, ROLE_GROUPS[known.role]):
        if not _is_member(peer.account, name):
            raise NotAllowed(f"{peer.account} is not in group {name}")
    return known, peer.uid


def _credentials(connection: socket.socket) -> tuple[int, int]:
    """pid and uid of who connected."""
    if connection.family != socket.AF_UNIX:
        raise NotAllowed("this is no Unix socket")
    size = struct.calcsize("3i")
    pid, peer, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid), int(peer)


def _is_member(name: str, group: str) -> bool:
    try:
        return name in grp.getgrnam(group).gr_mem
    except KeyError:
        return False
