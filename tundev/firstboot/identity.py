"""What makes a device this one and no other, besides its SSH key: its name, and who may log in.

All of it follows from the configuration at each boot and lies in /run, so a changed
file changes it, and the read-only root never holds any. Only sshd's host key lasts.
"""

from __future__ import annotations

import socket
from pathlib import Path

from tundev import key_pair
from tundev.config import Config, Login
from vtunlib import files

AUTHORIZED_KEYS = Path("/run/tundev-login/authorized_keys")
"""Where it is not there, sshd does not start (ssh.service.d/tundev.conf)."""
HOST_KEY = Path("/var/lib/tundev/ssh/ssh_host_ed25519_key")


def take_name(config: Config) -> None:
    """The host is called as its account. Raises OSError."""
    socket.sethostname(config.rdv.account)


def let_in(login: Login | None, keys: Path = AUTHORIZED_KEYS, host_key: Path = HOST_KEY) -> None:
    """Who may log in from the network; nobody, and no sshd, without a key. Raises OSError, RdvError."""
    allowed = login.authorized_keys if login else ()
    if not allowed:
        keys.unlink(missing_ok=True)
        return
    _ensure_host_key(host_key)
    keys.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    files.replace(keys, "".join(f"{key}\n" for key in allowed).encode(), mode=0o644)


def _ensure_host_key(key: Path) -> None:
    """Make sshd's key if there is none."""
    if not key.exists():
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_pair.make(key, mode=0o600)
