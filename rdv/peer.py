"""Who is at the other end of a Unix socket: the kernel's word, and nobody else's."""

from __future__ import annotations

import grp
import pwd
import socket
import struct
import sys
from dataclasses import dataclass

from rdv.devices import Device, DeviceStore
from vtunlib.errors import ConfigError, NotAllowed, NotFound, UsageError
from vtunlib.tunnel import Role

DEVICES_GROUP = "rdv-tundev"
ROLE_GROUPS = {Role.ONSITE: "rdv-onsite", Role.MASTER: "rdv-master"}
_SO_COOKIE = 57  # asm-generic/socket.h; Python has no name for it


@dataclass(frozen=True)
class Peer:
    """A device's account as the kernel and the account database know it."""

    account: str
    uid: int


def uid(connection: socket.socket) -> int:
    """The uid of who connected (SO_PEERCRED, socket(7)). Raises NotAllowed on another kind of socket."""
    if connection.family != socket.AF_UNIX:
        raise NotAllowed("this is no Unix socket")
    size = struct.calcsize("3i")
    _pid, peer, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(peer)


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


def _is_member(name: str, group: str) -> bool:
    try:
        return name in grp.getgrnam(group).gr_mem
    except KeyError:
        return False
