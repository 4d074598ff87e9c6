"""Taking away what belongs to no session, without any memory: all of it is named `rdv-<id>`.

After a crash of the manager, and when the package is removed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from rdv.sessions import legs, session_files
from rdv.sessions.life import namespace_unit
from rdv.sessions.session import Session
from vtunlib import namespace, units
from vtunlib.errors import RdvError

_LEG_UNIT = re.compile(r"rdv-leg-([0-9a-f]{8})-(?:onsite|master)\.service")
_NAMESPACE_UNIT = re.compile(r"rdv-netns@([0-9a-f]{8})\.service")
_NAMESPACE = re.compile(r"rdv-([0-9a-f]{8})")

log = logging.getLogger(__name__)


def remove(kept: Iterable[Session]) -> None:
    """Take away the legs, namespaces, sockets and files of all sessions but those to keep.

    What cannot be taken away is told in the journal and does not keep the rest.
    """
    sessions = list(kept)
    keep = {session.id for session in sessions}
    sockets = {legs.socket_path(account).name for session in sessions for account in session.accounts}
    for name in _foreign(units.units_named("rdv-leg-*.service"), _LEG_UNIT, keep):
        _attempt(name, units.stop, name)
    for name in _foreign(units.units_named("rdv-netns@*.service"), _NAMESPACE_UNIT, keep):
        _attempt(name, units.stop, name)
    for name in _foreign(_entries(namespace.DIRECTORY), _NAMESPACE, keep):
        # Its unit is gone or failed. Only that unit may unmount it (this process may be in a mount
        # namespace of its own), and it takes it away also when it cannot start.
        unit = namespace_unit(name.removeprefix("rdv-"))
        _attempt(name, units.start, unit)
        _attempt(name, units.stop, unit)
    for name in _entries(legs.DIRECTORY):
        if name not in sockets:
            (legs.DIRECTORY / name).unlink(missing_ok=True)
    if session_files.DIRECTORY.is_dir():
        session_files.forget_others(keep)


def _foreign(names: list[str], pattern: re.Pattern[str], keep: set[str]) -> list[str]:
    matches = [pattern.fullmatch(name) for name in names]
    return [match[0] for match in matches if match and match[1] not in keep]


def _entries(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def _attempt(what: str, action: Callable[[str], None], unit: str) -> None:
    try:
        action(unit)
    except RdvError as error:
        log.warning("%s: %s", what, error)
    else:
        log.info("%s belonged to no session", what)
