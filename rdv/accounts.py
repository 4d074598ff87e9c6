"""The Unix accounts of devices, and the keys that open them. Root only.

An account can log in with its one key to rdv-sshd alone, where the word of its
key line gives it its relay and nothing else. While an account is shut its key's
file is kept aside, where sshd does not look: a login is refused at once.
"""

from __future__ import annotations

import base64
import binascii
import grp
import hashlib
import os
import pwd
import select
import signal
import time
from pathlib import Path

from rdv.peer import DEVICES_GROUP, ROLE_GROUPS
from vtunlib.errors import AlreadyExists, NotFound, RdvError, Timeout, UsageError
from vtunlib.run import run
from vtunlib.tunnel import Role

KEYS = Path("/etc/rdv/keys")
HOST_KEY = Path("/etc/rdv/ssh_host_ed25519_key.pub")

_TYPE = "ssh-ed25519"
"""The one type that rdv-sshd takes and that devices make."""
_OPTIONS = 'restrict,command="shell"'
_END_SECONDS = 10.0


def parse_key(line: str) -> str:
    """`type base64` of a public key line, its comment left out. Raises UsageError."""
    words = line.split()
    if len(words) < 2 or words[0] != _TYPE or len(line.strip().splitlines()) != 1:
        raise UsageError("that is no public Ed25519 key", f"expected a line as in '{_TYPE} AAAA…'")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        blob = b""
    # RFC 8709: its type and its 32 bytes, each as a string.
    head = len(_TYPE).to_bytes(4, "big") + _TYPE.encode() + (32).to_bytes(4, "big")
    if not blob.startswith(head) or len(blob) != len(head) + 32:
        raise UsageError("that public SSH key is damaged", "copy its line once more, whole")
    return f"{_TYPE} {words[1]}"


def fingerprint(key: str) -> str:
    """Of a public key line, as ssh-keygen and sshd's journal write it: `SHA256:…`."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


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
    remove_key(account)
    if role(account) is not None:
        end_processes(account)
        run(["userdel", account])


def end_processes(account: str) -> None:
    """End all that runs as the device's account, its SSH connection, and wait for it. Raises Timeout."""
    if role(account) is None:
        return
    uid = pwd.getpwnam(account).pw_uid
    deadline = time.monotonic() + _END_SECONDS
    while pids := _processes(uid):
        for pid in pids:
            _end(pid, uid, deadline)


def key(account: str) -> str:
    """The public key that opens the account, empty where none does. Raises RdvError on a foreign file."""
    path = key_file(account)
    try:
        line = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        line = "?"
    if not line:
        return ""  # shut before it had a key
    if not line.startswith(f"{_OPTIONS} "):
        raise RdvError(
            f"{path} is not as rdv-admin writes it", f"expected '{_OPTIONS} {_TYPE} AAAA… {account}'"
        )
    return parse_key(line.removeprefix(_OPTIONS))


def key_file(account: str) -> Path:
    """The file of what opens the account: where sshd looks for it, or aside while the account is shut."""
    aside = _aside(account)
    return aside if aside.exists() else KEYS / account


def set_key(account: str, public_key: str) -> None:
    """Make that key, and only that, open the account."""
    KEYS.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = KEYS / f".{account}.new"
    new.write_text(f"{_OPTIONS} {parse_key(public_key)} {account}\n", encoding="ascii")
    new.chmod(0o644)  # sshd reads it as the account
    new.rename(key_file(account))


def remove_key(account: str) -> None:
    """Let no key open the account any more."""
    (KEYS / account).unlink(missing_ok=True)
    _aside(account).unlink(missing_ok=True)


def shut(account: str) -> None:
    """Let nothing open the account until `reopen`; its key is kept. Shut already is no error."""
    KEYS.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        (KEYS / account).rename(_aside(account))
    except FileNotFoundError:
        _aside(account).touch(mode=0o644)


def reopen(account: str) -> None:
    """Let the key that is kept open the account again. Open already is no error."""
    aside = _aside(account)
    if not aside.exists():
        return
    if aside.stat().st_size == 0:
        aside.unlink()
    else:
        aside.rename(KEYS / account)


def host_key() -> str:
    """This server's public host key, as a device pins it. Raises NotFound, RdvError."""
    try:
        return parse_key(HOST_KEY.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise NotFound(f"there is no {HOST_KEY}", "'systemctl restart rdv-sshd' makes it") from None
    except (UsageError, UnicodeDecodeError) as error:
        raise RdvError(f"{HOST_KEY}: {error}") from None


def _aside(account: str) -> Path:
    # No account's name has a dot (rdv.devices), so sshd never takes this for somebody's file.
    return KEYS / f".{account}.shut"


def _members(group: str) -> list[str]:
    try:
        return grp.getgrnam(group).gr_mem
    except KeyError:
        raise NotFound(f"there is no group {group}", "reinstall rdv-server") from None


def _processes(uid: int) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if path.stat().st_uid == uid and "\nState:\tZ" not in (path / "status").read_text():
                    found.append(int(path.name))
            except OSError:
                continue  # it has ended meanwhile
    return found


def _end(pid: int, uid: int, deadline: float) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The number may have gone to another process; the descriptor cannot.
        if pid in _processes(uid):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            poll = select.poll()
            poll.register(process, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise Timeout(f"process {pid} does not end")
    except ProcessLookupError:
        pass
    finally:
        os.close(process)
