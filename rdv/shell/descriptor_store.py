"""systemd's descriptor store: open descriptors outlive the process, and are passed to the next one.

FileDescriptorStoreMax= in systemd.service(5), sd_pid_notify_with_fds(3),
sd_listen_fds(3). The store is kept while the service is restarted, by hand or
after a crash, and emptied when it is stopped.
"""

from __future__ import annotations

import array
import os
import select
import socket
from collections.abc import Sequence

from vtunlib.errors import RdvError

SETTLE_SECONDS = 75.0
"""How long systemd may take to store what it was sent: seconds of its own, and a busy machine may
make ten times as many of them. TimeoutStopSec= of the service is longer."""

_FIRST_FD = 3  # sd_listen_fds(3)
_AT_ONCE = 200
"""Descriptors in one message; the kernel takes at most 253 (SCM_MAX_FD, unix(7))."""


def passed() -> dict[str, list[int]]:
    """The descriptors that systemd has passed to this process, by their names; stored ones and sockets."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    found: dict[str, list[int]] = {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for number in range(int(os.environ.get("LISTEN_FDS", "0"))):
        found.setdefault(names[number], []).append(_FIRST_FD + number)
        os.set_inheritable(_FIRST_FD + number, False)
    return found


def put(name: str, descriptors: Sequence[int]) -> None:
    """Store copies of these under one name. Raises RdvError where systemd cannot be told."""
    for start in range(0, len(descriptors), _AT_ONCE):
        _notify(f"FDSTORE=1\nFDNAME={name}", descriptors[start : start + _AT_ONCE])


def forget(*names: str) -> None:
    """Take all descriptors of these names out of the store. Raises RdvError."""
    for name in names:
        _notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
    settle()


def settle() -> None:
    """Wait until systemd has done what it was told (sd_notify_barrier(3)).

    What a process has sent is not looked at once the process is gone. Raises RdvError.
    """
    read, write = os.pipe()
    try:
        _notify("BARRIER=1", [write])
        os.close(write)
        write = -1
        waiting = select.poll()
        waiting.register(read, 0)  # the hang-up is told in any case
        if not waiting.poll(SETTLE_SECONDS * 1000):
            raise RdvError(f"systemd has not stored the connections within {SETTLE_SECONDS:g} s")
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)


def _notify(text: str, descriptors: Sequence[int] = ()) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        raise RdvError("systemd cannot be told: NOTIFY_SOCKET is not set")
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(SETTLE_SECONDS)
        try:
            notify.connect(address)
            notify.sendmsg([text.encode()], rights)
        except OSError as error:
            raise RdvError(f"systemd cannot be told: {error}") from None
