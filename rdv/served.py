"""The configuration files that sshd and stunnel serve from: copies of what the admin edits.

`/usr/lib/rdv/take-config` makes a copy once the server's own check has let the file
pass, so a file that is refused stops nothing; it is only not in force.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

EDITED = Path("/etc/rdv")
DIRECTORY = Path("/var/lib/rdv-config")
SSHD = "sshd_config"
STUNNEL = "stunnel.conf"

_UNITS = {SSHD: "rdv-sshd", STUNNEL: "rdv-stunnel"}


def not_in_force(edited: Path = EDITED, directory: Path = DIRECTORY) -> Iterator[tuple[str, str]]:
    """Name and words, for an admin, of each file that is edited and not served from."""
    for name, unit in _UNITS.items():
        wanted, served = _content(edited / name), _content(directory / name)
        if served is not None and wanted != served:
            cause = "it was refused, or not taken over yet"
            yield name, f"{edited / name} is not in force: {cause}; 'systemctl reload {unit}' says which"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
