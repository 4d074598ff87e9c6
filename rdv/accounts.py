"""The Unix accounts of devices. Root only.

An account can log in to rdv-sshd alone, with its key (rdv.enrolment.keys), where the word of
the key's line gives it its relay and nothing else.
"""

from __future__ import annotations

import grp
import os
import pwd
import select
import signal
import time
from collections.abc import Collection
from pathlib import Path

from rdv.enrolment import keys
from rdv.peer import DEVICES_GROUP, ROLE_GROUPS
from vtunlib.errors import AlreadyExists, NotFound, Timeout
from vtunlib.run import run
from vtunlib.tunnel import Role

_END_SECONDS = 10.0


def role(account: str) -> Role | None:
    """The role that the account's groups give it, None without such an account.

    Raises AlreadyExists where the account is somebody else's.
    """
    try:
        pwd.getpwnam(account)
    except KeyError:
        return None
    if account in _members(DEVICES_GROUP):
        for one, group in ROLE_GROUPS.items():
            if account in _members(group):
                return one
    raise AlreadyExists(f"there is a user {account} that is no device", "choose another name")


def everyone() -> list[str]:
    """The accounts of all devices, sorted."""
    return sorted(_members(DEVICES_GROUP))


def create(account: str, wanted: Role) -> bool:
    """Make the account if it is not there; whether it was made. Raises RdvError."""
    if role(account) is not None:
        return False
    groups = f"{DEVICES_GROUP},{ROLE_GROUPS[wanted]}"
    run(
        [
            # Not `!`: sshd without PAM takes that for a locked account, whatever its key.
            *("useradd", "--no-create-home", "--home-dir", "/", "--password", "*", "--no-user-group"),
            *("--gid", DEVICES_GROUP, "--groups", groups),
            *("--shell", f"/usr/lib/rdv/{wanted}dev-shell", "--comment", f"RDV {wanted} device", account),
        ]
    )
    return True


def remove(account: str) -> None:
    """Delete the account and its key, and end what runs as it. Gone already is no error.

    Raises AlreadyExists where the account is no device's, Timeout, RdvError.
    """
    keys.remove(account)
    if role(account) is not None:
        end_processes(account)
        run(["userdel", account])


def end_processes(account: str, spare: Collection[int] = ()) -> None:
    """End all that runs as the device's account, its SSH connection, and wait for it. Raises Timeout.

    spare: pids that are left alone.
    """
    if role(account) is None:
        return
    uid = pwd.getpwnam(account).pw_uid
    deadline = time.monotonic() + _END_SECONDS
    while pids := set(_processes(uid)).difference(spare):
        for pid in pids:
            _end(pid, uid, deadline)


def _members(group: str) -> list[str]:
    try:
        return grp.getgrnam(group).gr_mem
    except KeyError:
        raise NotFound(f"there is no group {group}", "reinstall rdv-server") from None


def _processes(uid: int) -> list[int]:
    numbered = (path for path in Path("/proc").iterdir() if path.name.isdigit())
    return [int(path.name) for path in numbered if _runs_as(path, uid)]


def _runs_as(process: Path, uid: int) -> bool:
    """process: below /proc. One that is only waited for (a zombie) runs no more."""
    try:
        return process.stat().st_uid == uid and "\nState:\tZ" not in (process / "status").read_text()
    except OSError:
        return False  # it has ended meanwhile


def _end(pid: int, uid: int, deadline: float) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The number may have gone to another process; the descriptor cannot.
        if _runs_as(Path(f"/proc/{pid}"), uid):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            poll = select.poll()
            poll.register(process, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise Timeout(f"process {pid} does not end")
    except ProcessLookupError:
        pass
    finally:
        os.close(process)
