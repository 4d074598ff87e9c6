"""Where the keys and certificates of TLS are, and how they are written.

What stunnel serves is one file, so that a key is never beside another's certificate.
"""

from __future__ import annotations

import grp
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rdv import served
from vtunlib import files
from vtunlib.errors import RdvError

FOLDER = Path("/etc/rdv/tls")
CA_KEY = "ca.key"
CA = "ca.crt"
SERVER = "server.pem"
"""Key, certificate and what is between it and its root, as stunnel serves it."""
FORMER = "server.pem.old"
"""What it served before that."""
BUNDLE_CA = "bundle.crt"
"""What devices check the server's certificate against; empty: the CAs that their Debian brings."""

STUNNEL_CONF = served.EDITED / served.STUNNEL
STUNNEL_SERVED = served.DIRECTORY / served.STUNNEL
"""The last one that stunnel would take: what it runs with (take-config)."""
STUNNEL_USER = "stunnel4"
"""Made by Debian's stunnel4."""


def bundle_ca(folder: Path = FOLDER) -> str:
    """The PEM text for ca_cert of a device's bundle; empty where it needs none. Raises RdvError."""
    try:
        return (folder / BUNDLE_CA).read_text(encoding="ascii")
    except FileNotFoundError:
        raise RdvError(
            f"there is no {folder / BUNDLE_CA}", "'systemctl start rdv-certificate' makes CA and certificate"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RdvError(f"cannot read {folder / BUNDLE_CA}: {error}") from None


@contextmanager
def locked(folder: Path = FOLDER) -> Iterator[None]:
    """Nobody else changes what is there: the timer, an installation, an admin at once."""
    with files.locked(folder):
        yield


def write(path: Path, text: str, *, mode: int = 0o644, group: str | None = None) -> None:
    """Put the text there, root's (and the group's); durable when it returns. Raises RdvError, OSError."""
    owner = None if group is None else (0, _gid(group))
    files.replace(path, text.encode("ascii"), mode=mode, owner=owner)


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise RdvError(f"there is no group {group}", "reinstall the package that makes it") from None
