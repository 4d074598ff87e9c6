"""What the manager must find again after a crash: a file per session below /run/rdv/sessions.

The directory is root's alone: the files hold the legs' secrets.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

from rdv.access import reach
from rdv.sessions.session import Leg, Session, State
from vtunlib.errors import RdvError
from vtunlib.tunnel import Role, TunnelMode, VtunParameters
from vtunlib.vtund_conf import server_config

DIRECTORY = Path("/run/rdv/sessions")

_ID = re.compile(r"[0-9a-f]{8}")

log = logging.getLogger(__name__)


def save(session: Session, state: State, directory: Path = DIRECTORY) -> None:
    """Note the session and where it is in its life; whole or not at all."""
    _write(directory / f"{session.id}.json", json.dumps({"state": state, **_to_data(session)}))


def save_leg(session: Session, role: Role, directory: Path = DIRECTORY) -> Path:
    """Write what the vtund of that leg reads; returns the file."""
    path = leg_file(session.id, role, directory)
    _write(path, server_config(session.leg(role).parameters, session.mode, str(role)))
    return path


def leg_file(session_id: str, role: Role, directory: Path = DIRECTORY) -> Path:
    """The configuration file of that leg's vtund."""
    return directory / f"{session_id}-{role}.conf"


def load(directory: Path = DIRECTORY) -> list[tuple[Session, State]]:
    """All sessions that are noted. A file that cannot be read is passed over and told in the journal."""
    found = []
    for path in sorted(directory.glob("*.json")):
        try:
            data = json.loads(path.read_text())
            found.append((_from_data(data), State(data["state"])))
        except (OSError, ValueError, KeyError, TypeError, RdvError) as error:
            log.error("%s is not to be used: %s", path, error)
    return found


def forget(session_id: str, directory: Path = DIRECTORY) -> None:
    """The session is over: nothing of it is to be found again."""
    for path in (directory / f"{session_id}.json", *(leg_file(session_id, role, directory) for role in Role)):
        path.unlink(missing_ok=True)


def forget_others(keep: set[str], directory: Path = DIRECTORY) -> None:
    """Delete all files but those of the sessions to keep."""
    for path in directory.iterdir():
        match = _ID.match(path.name)
        if match is None or match[0] not in keep:
            path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.rename(path)


def _to_data(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "mode": session.mode,
        "onsite": _leg_to_data(session.onsite),
        "master": _leg_to_data(session.master),
        "lan": str(session.lan),
        "dns": [str(server) for server in session.dns],
        "rule": session.rule,
        "reach": session.reach.value(),
        "reason": session.reason,
        "born": session.born.isoformat(),
    }


def _leg_to_data(leg: Leg) -> dict[str, Any]:
    return {"account": leg.account, "uid": leg.uid, "parameters": leg.parameters.to_lines()}


def _from_data(data: dict[str, Any]) -> Session:
    if not _ID.fullmatch(data["id"]):
        raise ValueError(f"{data['id']!r} is no session's id")
    return Session(
        id=data["id"],
        mode=TunnelMode(data["mode"]),
        onsite=_leg_from_data(data["onsite"]),
        master=_leg_from_data(data["master"]),
        lan=ipaddress.IPv4Interface(data["lan"]),
        dns=tuple(ipaddress.IPv4Address(server) for server in data["dns"]),
        rule=str(data["rule"]),
        reach=reach.parse(data["reach"]),
        reason=str(data["reason"]),
        born=datetime.datetime.fromisoformat(data["born"]),
    )


def _leg_from_data(data: dict[str, Any]) -> Leg:
    return Leg(str(data["account"]), int(data["uid"]), VtunParameters.from_lines(data["parameters"]))
