"""The Unix accounts of devices, and the keys that open them.

An account can log in with its key to rdv-sshd alone, where the word of its key
line gives it its relay and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import os
import pwd
import re
import signal
from contextlib import suppress
from pathlib import Path

from vtunlib.errors import NotFound, RdvError, UsageError
from vtunlib.run import run
from vtunlib.tunnel import Role

KEYS = Path("/etc/rdv/keys")
HOST_KEY = Path("/etc/rdv/ssh_host_ed25519_key.pub")
GROUP = "rdv-tundev"
_OPTIONS = 'restrict,command="shell"'
_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def parse_key(line: str) -> str:
    """`type base64` of a public key line, its comment left out. Raises UsageError."""
    words = line.split()
    if len(words) < 2 or words[0] not in _TYPES:
        raise UsageError("that is no public SSH key", "expected a line as in 'ssh-ed25519 AAAA…'")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        blob = b""
    # RFC 4253, 6.6: the blob begins with its type as a string.
    if not blob.startswith(len(words[0]).to_bytes(4, "big") + words[0].encode()):
        raise UsageError("that public SSH key is damaged", "copy its line once more, whole")
    return f"{words[0]} {words[1]}"


def exists(account: str) -> bool:
    """Whether there is a Unix account of that name."""
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def create(account: str, role: Role) -> None:
    """Make the account. Raises RdvError."""
    run(
        [
            *("useradd", "--no-create-home", "--home-dir", "/", "--password", "*", "--no-user-group"),
            *("--gid", GROUP, "--groups", f"rdv-{role},{GROUP}"),
            *("--shell", f"/usr/lib/rdv/{role}dev-shell", "--comment", f"RDV {role} device", account),
        ]
    )


def remove(account: str) -> None:
    """Delete the account and its key, and end what runs as it. Gone already is no error."""
    (KEYS / account).unlink(missing_ok=True)
    if exists(account):
        end_processes(account)
        run(["userdel", "--force", account])


def end_processes(account: str) -> None:
    """End the device's SSH connection: every process of the account, each checked through its pidfd."""
    uid = pwd.getpwnam(account).pw_uid
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            process = os.pidfd_open(int(entry.name))
            try:
                if entry.stat().st_uid == uid:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


def key(account: str) -> str:
    """The public key that opens the account, empty where none does."""
    try:
        line = (KEYS / account).read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
    found = re.search(rf"(?:{'|'.join(_TYPES)}) \S+", line)
    return found[0] if found else ""


def set_key(account: str, public_key: str) -> None:
    """Make that key, and only that, open the account."""
    KEYS.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = KEYS / f".{account}.new"
    new.write_text(f"{_OPTIONS} {parse_key(public_key)} {account}\n", encoding="ascii")
    new.chmod(0o644)  # sshd reads it as the account
    new.rename(KEYS / account)


def host_key() -> str:
    """This server's public host key, as a device pins it. Raises NotFound, RdvError."""
    try:
        return parse_key(HOST_KEY.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise NotFound(f"there is no {HOST_KEY}", "reinstall rdv-server") from None
    except UsageError as error:
        raise RdvError(f"{HOST_KEY}: {error.message}") from None
