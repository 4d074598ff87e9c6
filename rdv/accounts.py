"""A device's Unix account and key: made, shown, taken away. Root only.

The account can do one thing: be logged in to rdv-sshd with its one key, which
runs its login shell with the word `shell`.
"""

from __future__ import annotations

import base64
import binascii
import grp
import os
import pwd
import select
import signal
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from rdv.peer import DEVICES_GROUP, ROLE_GROUPS
from vtunlib.errors import AlreadyExists, ConfigError, NotFound, Timeout, UsageError
from vtunlib.run import run
from vtunlib.tunnel import Role

KEYS = Path("/etc/rdv/keys")
HOST_KEY = Path("/etc/rdv/ssh_host_ed25519_key.pub")
SHELLS = {Role.ONSITE: "/usr/lib/rdv/onsitedev-shell", Role.MASTER: "/usr/lib/rdv/masterdev-shell"}

_KEY_TYPE = "ssh-ed25519"
_OPTIONS = 'restrict,command="shell"'
_KILL_SECONDS = 10.0


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key; data: its base64 text."""

    data: str

    def __str__(self) -> str:
        return f"{_KEY_TYPE} {self.data}"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """The key of one line as `ssh-keygen` writes it; its comment is dropped. Raises UsageError."""
        form = f'expected one line "{_KEY_TYPE} AAAA… comment"'
        words = text.split()
        if len(text.strip().splitlines()) != 1 or len(words) < 2 or words[0] != _KEY_TYPE:
            raise UsageError("this is no Ed25519 public key", form)
        try:
            blob = base64.b64decode(words[1], validate=True)
        except binascii.Error:
            raise UsageError("the key is not base64", form) from None
        # RFC 8709: two strings, the type and 32 bytes.
        wanted = struct.pack("!I", len(_KEY_TYPE)) + _KEY_TYPE.encode() + struct.pack("!I", 32)
        if not blob.startswith(wanted) or len(blob) != len(wanted) + 32:
            raise UsageError("the key is damaged", form)
        return cls(base64.b64encode(blob).decode())


def host_key() -> PublicKey:
    """The key that rdv-sshd shows, to be pinned by devices. Raises NotFound, ConfigError."""
    try:
        return PublicKey.parse(HOST_KEY.read_text())
    except FileNotFoundError:
        raise NotFound(f"there is no {HOST_KEY}", "systemctl start rdv-sshd makes it") from None
    except (UsageError, UnicodeDecodeError) as error:
        raise ConfigError(f"{HOST_KEY}: {error}") from None


def key(account: str) -> PublicKey | None:
    """The key with which the account may log in. Raises ConfigError on a file that is not ours."""
    path = KEYS / account
    try:
        line = path.read_text().strip()
    except FileNotFoundError:
        return None
    if not line.startswith(f"{_OPTIONS} "):
        raise ConfigError(
            f"{path} is not as rdv-admin writes it", f"expected one line '{_OPTIONS} ssh-ed25519 …'"
        )
    return PublicKey.parse(line.removeprefix(_OPTIONS))


def set_key(account: str, public: PublicKey) -> None:
    """Let the account log in with this key, and with no other."""
    KEYS.mkdir(mode=0o755, exist_ok=True)
    new = KEYS / f".{account}"
    new.write_text(f"{_OPTIONS} {public} {account}\n")
    # sshd reads it as the account.
    new.chmod(0o644)
    new.rename(KEYS / account)


def remove_key(account: str) -> bool:
    """Let the account log in no more; whether it could."""
    path = KEYS / account
    existed = path.exists()
    path.unlink(missing_ok=True)
    return existed


def role(account: str) -> Role | None:
    """The role that the account's groups give it; None without such an account.

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
    raise AlreadyExists(f"there is an account {account}, and it is no device", "choose another name")


def create(account: str, wanted: Role) -> bool:
    """Make the account; whether it was not there before. Raises AlreadyExists, RdvError."""
    present = role(account)
    if present is not None:
        if present is not wanted:
            raise AlreadyExists(
                f"{account} is there with role {present}", "remove it first, or choose another name"
            )
        return False
    if any(group.gr_name == account for group in grp.getgrall()):
        raise AlreadyExists(f"there is a group {account}, and it is no device's", "choose another name")
    run(
        [
            *("useradd", "--no-create-home", "--home-dir", "/", "--user-group"),
            # Not `!`: sshd takes that for a locked account and refuses its key.
            *("--password", "*", "--comment", f"RDV {wanted} device", "--shell", SHELLS[wanted]),
            *("--groups", f"{DEVICES_GROUP},{ROLE_GROUPS[wanted]}", account),
        ]
    )
    return True


def delete(account: str) -> bool:
    """Take the account away with all its processes; whether it was there. Raises RdvError, Timeout."""
    if role(account) is None:
        return False
    kill(account)
    run(["userdel", account])
    return True


def kill(account: str) -> None:
    """End all processes of the account: its sshd sessions and relays. Raises Timeout."""
    if role(account) is None:
        return
    uid = pwd.getpwnam(account).pw_uid
    deadline = time.monotonic() + _KILL_SECONDS
    while pids := _processes(uid):
        for pid in pids:
            _kill(pid, uid, deadline)


def _kill(pid: int, uid: int, deadline: float) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The number may be another process's by now; the descriptor cannot change hands any more.
        if pid in _processes(uid):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Timeout(f"process {pid} does not end")
    except ProcessLookupError:
        return
    finally:
        os.close(fd)


def _processes(uid: int) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                owner = path.stat().st_uid
                running = "\nState:\tZ" not in (path / "status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if owner == uid and running:
                found.append(int(path.name))
    return found


def _members(group: str) -> list[str]:
    try:
        return grp.getgrnam(group).gr_mem
    except KeyError:
        raise NotFound(f"there is no group {group}", "reinstall rdv-server") from None
