"""Keeping CA and certificate there and valid: what rdv-certificate.service does, daily and before stunnel.

A certificate of our own is issued anew before it runs out, and where a name by
which devices reach this server is not in it. One that the admin gave is only
warned of. CA and key of ours are never replaced: the devices' bundles carry it.
"""

from __future__ import annotations

import datetime
import re
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rdv import settings
from rdv.tls import authority, files
from rdv.tls.authority import Pair
from vtunlib import certificate, units
from vtunlib.certificate import Certificate
from vtunlib.errors import RdvError
from vtunlib.run import run

UNIT = "rdv-stunnel.service"
RENEW_DAYS = 60
"""A certificate of our own with less left is issued anew."""
WARN_DAYS = 30
"""One that the admin gave is warned of when less is left."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_SYSTEMD = Path("/run/systemd/system")
"""There where systemd runs the machine, sd_booted(3)."""


@dataclass(frozen=True)
class Served:
    """What stunnel serves. own: issued by this server's CA."""

    certificate: Certificate
    own: bool


def is_due(served: Served | None, names: Sequence[str], now: datetime.datetime) -> str:
    """Why a certificate of our own must be issued anew; empty where it need not, or is not our own."""
    if served is None:
        return "there is none"
    if not served.own:
        return ""
    if served.certificate.days_left(now) < RENEW_DAYS:
        return f"it is valid until {served.certificate.not_after:%Y-%m-%d}"
    missing = [name for name in names if name not in served.certificate.names]
    return f"{missing[0]} is not in it" if missing else ""


def served(folder: Path = files.FOLDER) -> Served | None:
    """What stunnel serves, None where there is nothing yet. Raises RdvError."""
    try:
        text = (folder / files.SERVER).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    chain = certificate.split(text)
    if not chain:
        raise RdvError(
            f"there is no certificate in {folder / files.SERVER}", "'rdv-admin tls renew' makes one"
        )
    return Served(certificate.read(chain[0]), _is_own(folder, chain[0]))


def _is_own(folder: Path, pem: str) -> bool:
    ca = folder / files.CA
    if not ca.exists():
        return False
    try:
        run(["openssl", "verify", "-no_check_time", "-no-CApath", "-CAfile", str(ca)], stdin=pem)
    except RdvError:
        return False
    return True


def ensure(folder: Path = files.FOLDER, also: Sequence[str] = (), *, anew: bool = False) -> str:
    """Make what is missing, renew what is due; why a certificate was issued, empty where none was.

    also: names that must be in it, beside those that this server has. anew: issue it in any case,
    also in place of one that the admin gave. Raises RdvError.
    """
    now = datetime.datetime.now(datetime.UTC)
    with files.locked(folder):
        _ensure_ca(folder, now)
        present = served(folder)
        own = own_names()
        names = [*also, *own]
        due = "it was asked for" if anew else is_due(present, [*also, own[0]], now)
        if due:
            _issue(folder, list(dict.fromkeys([*names, *_known_names(folder)])), now)
        return due


def own_names() -> list[str]:
    """The names and addresses of this server, the one that devices know first. Raises RdvError."""
    names = [_first_name(), socket.gethostname(), socket.getfqdn()]
    names = [name for name in names if _NAME.fullmatch(name) and not name.startswith("localhost")]
    return list(dict.fromkeys([*names, *_addresses()])) or ["localhost"]


def _first_name() -> str:
    chosen = settings.load()
    try:
        return settings.server_name(chosen)
    except RdvError:  # not on a network yet
        return socket.gethostname()


def _known_names(folder: Path) -> list[str]:
    """Those in what is and was served last: a device may know this server by any of them."""
    names: list[str] = []
    for file in (folder / files.SERVER, folder / files.FORMER):
        with suppress(FileNotFoundError, RdvError):
            names += certificate.read(file.read_text(encoding="ascii")).names
    return names


def _addresses() -> list[str]:
    from pyroute2 import IPRoute

    with IPRoute() as ipr:
        found = [message.get_attr("IFA_ADDRESS") for message in ipr.get_addr() if message["scope"] == 0]
    return sorted(str(address) for address in found if address != "::1")


def _ensure_ca(folder: Path, now: datetime.datetime) -> None:
    # The certificate is written last: a key without it was cut off, and no device knows it.
    if not (folder / files.CA).exists():
        ca = authority.make_ca(_first_name(), now)
        files.write(folder / files.CA_KEY, ca.key, mode=0o600)
        files.write(folder / files.CA, ca.certificate)
    if not (folder / files.BUNDLE_CA).exists():
        files.write(folder / files.BUNDLE_CA, (folder / files.CA).read_text(encoding="ascii"))


def _issue(folder: Path, names: list[str], now: datetime.datetime) -> None:
    try:
        ca = Pair((folder / files.CA_KEY).read_text("ascii"), (folder / files.CA).read_text("ascii"))
    except FileNotFoundError:
        raise RdvError(
            f"the CA's key {folder / files.CA_KEY} is gone, so no certificate can be issued",
            "restore it from a backup, or give a certificate: rdv-admin tls use CERT KEY --ca FILE",
        ) from None
    own = authority.issue(ca, names, now)
    put(folder, own.key + own.certificate, ca.certificate)


def put(folder: Path, served_text: str, bundle: str) -> None:
    """Serve this from the next reload on; what was served so far is kept beside it as .old."""
    server = folder / files.SERVER
    if server.exists():
        files.write(folder / files.FORMER, server.read_text(encoding="ascii"), mode=0o600)
    files.write(server, served_text, mode=0o640, group=files.STUNNEL_USER)
    files.write(folder / files.BUNDLE_CA, bundle)


def reload() -> bool:
    """Have stunnel serve what is there now, no connection dropped; False where it does not run.

    Raises RdvError.
    """
    if not _SYSTEMD.is_dir() or not units.is_active(UNIT):
        return False
    units.reload(UNIT)
    return True


def main() -> int:
    """Entry of /usr/lib/rdv/make-certificate. What is there and valid is never given up."""
    try:
        _keep()
    except RdvError as error:
        print(f"make-certificate: {error}", file=sys.stderr)
        return 0 if (files.FOLDER / files.SERVER).exists() else error.exit_code
    return 0


def _keep() -> None:
    if due := ensure():
        print(f"the server's certificate was issued: {due}")
        reload()
    present = served()
    left = present.certificate.days_left(datetime.datetime.now(datetime.UTC)) if present else 0
    if present and not present.own and left < WARN_DAYS:
        print(
            f"the certificate given is valid for {left} more days: rdv-admin tls use CERT KEY",
            file=sys.stderr,
        )
