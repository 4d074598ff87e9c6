"""`rdv-admin status`: the server, its sessions and its devices on one screen, and what is not well.

It asks the manager for what only the manager knows; without it there is less to
show, and that is the first warning.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from rdv import contract, drain, served, settings
from rdv.admin import inventory, tls
from rdv.admin.link import manager, show_json
from rdv.admin.shown import cell, fitted, heading, since, size, width
from rdv.manager import rows
from rdv.sessions import session_files, traffic
from rdv.sessions.session import State
from vtunlib import units
from vtunlib.errors import ConfigError, NotRunning, RdvError, Timeout
from vtunlib.table import table
from vtunlib.version import VERSION

SCREEN = 20
"""How many devices are shown; all of them are in `device list` and in --json."""

_SERVICES = {
    "rdv-sshd.service": "no device can dial in",
    "tundev-shell.service": "no device can register",
}

Status = dict[str, Any]


def add_parser(subjects: Any) -> None:
    """The word `rdv-admin status`."""
    parser = subjects.add_parser(
        "status", help="the server, its sessions and devices, and what is not well, on one screen"
    )
    parser.add_argument("--json", action="store_true", help="for programs, and all of it")
    parser.set_defaults(work=status_work)


async def status_work(arguments: argparse.Namespace) -> None:
    """Show it."""
    status = await gather()
    if arguments.json:
        show_json(status)
    else:
        columns = width()
        print(fitted(screen(status, datetime.datetime.now(datetime.UTC), columns), columns))


async def gather() -> Status:
    """All that can be known now."""
    told: Status = {}
    own: list[tuple[str, str]] = []
    try:
        told = json.loads(await manager(contract.STATUS))
    except (NotRunning, Timeout) as error:
        own.append(("manager", f"{error}; which devices are online is not known"))
    seen, fault = inventory.last_seen()
    online = {row["id"]: row for row in told["devices"]} if told else None
    devices, faults = inventory.devices(online, seen)
    own += [("audit", fault)] if fault else []
    own += [("device", text) for text in faults]
    own += _found_here()
    warnings = told.get("warnings", [])
    known = {one["key"] for one in warnings}
    return {
        "server": {
            "name": _name(),
            "ssh_port": _ssh_port(),
            "version": told.get("version", VERSION),
            "manager_since": told.get("since"),
            "drain": rows.drain(drain.now()),
        },
        # What the manager found too is told once, as it found it.
        "warnings": warnings
        + [{"key": key, "text": text, "since": None} for key, text in own if key not in known],
        "sessions": told["sessions"] if told else _noted_sessions(),
        "devices": devices,
    }


def _noted_sessions() -> list[dict[str, Any]]:
    """Those that live on without the manager, as it noted them before it ended."""
    return [
        rows.session(session, state, traffic=traffic.known(session.namespace))
        for session, state in session_files.load()
    ]


def _found_here() -> Iterator[tuple[str, str]]:
    """What is looked at here, so that it is known without the manager."""
    try:
        settings.load()
    except ConfigError as error:
        yield "settings", str(error)
    yield from served.not_in_force()
    for unit, consequence in _SERVICES.items():
        try:
            if not units.is_active(unit):
                yield unit, f"{unit} does not run: {consequence}; 'systemctl status {unit}' says why"
        except RdvError as error:
            yield unit, str(error)
    try:
        for text in tls.known()["warnings"]:
            yield "tls", text
    except RdvError as error:
        yield "tls", f"TLS: {error}"


def _name() -> str:
    try:
        return settings.server_name(settings.load())
    except RdvError:
        return ""


def _ssh_port() -> int | None:
    """The port that rdv-sshd serves on."""
    try:
        text = (served.DIRECTORY / served.SSHD).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"^\s*Port\s+(\d+)\s*$", text, re.MULTILINE | re.IGNORECASE)
    return int(found[1]) if found else 22  # sshd_config(5)


def screen(status: Status, now: datetime.datetime, columns: int | None = None) -> str:
    """The screen. columns: where warnings are wrapped, for they are to be read whole."""
    lines = _server(status["server"], now)
    warnings = status["warnings"]
    if warnings:
        lines += heading(
            f"WARNINGS ({len(warnings)})", [line for one in warnings for line in _warning(one, now, columns)]
        )
    sessions = status["sessions"]
    if sessions:
        lines += heading(f"SESSIONS ({len(sessions)})", sessions_table(sessions, now).splitlines())
    else:
        lines += ["", "no session"]
    return "\n".join([*lines, *_devices(status["devices"], now)])


def _warning(warning: dict[str, Any], now: datetime.datetime, columns: int | None) -> list[str]:
    age = f" (since {since(warning['since'], now)})" if warning["since"] else ""
    text = f"! {warning['text']}{age}"
    return [text] if columns is None else textwrap.wrap(text, columns - 2, subsequent_indent="  ")


def _server(server: dict[str, Any], now: datetime.datetime) -> list[str]:
    runs = (
        f"manager runs for {since(server['manager_since'], now)}" if server["manager_since"] else "no manager"
    )
    place = server["name"] or "this server"
    lines = [f"{place}, SSH on port {server['ssh_port'] or '?'}: rdv-server {server['version']}, {runs}"]
    if server["drain"]:
        reason = f": {server['drain']['reason']}" if server["drain"]["reason"] else ""
        ago = since(server["drain"]["since"], now)
        lines.append(f"new sessions are refused for {ago}{reason} ('rdv-admin drain --off' ends it)")
    return lines


def sessions_table(sessions: list[dict[str, Any]], now: datetime.datetime) -> str:
    """Who is connected to whom, for how long, how much and how fast."""
    titles = ("SESSION", "MASTER", "ONSITE", "MODE", "AGE", "TO SITE", "FROM SITE", "RTT", "REASON")
    shown = []
    for row in sessions:
        amounts = ["-" if row.get(key) is None else size(row[key]) for key in ("to_onsite", "from_onsite")]
        rtt = "-" if row["rtt_ms"] is None else f"{row['rtt_ms']:.0f} ms"
        words = [cell(row, key) for key in ("id", "master", "onsite")]
        mode = row["mode"] if row["state"] == State.UP else f"{row['mode']}, not up yet"
        shown.append([*words, mode, since(row["since"], now), *amounts, rtt, cell(row, "reason")])
    return table(titles, shown)


def _devices(devices: list[dict[str, Any]], now: datetime.datetime) -> list[str]:
    if not devices:
        return ["", "no device yet; 'rdv-admin device add' makes one"]
    known = [row for row in devices if row["online"] is not None]
    count = f"{sum(bool(row['online']) for row in known)} of {len(devices)} online" if known else len(devices)
    ordered = sorted(devices, key=_rank)
    shown = [
        [row["id"], row["role"], inventory.state(row), _when(row, now), cell(row, "version"), _where(row)]
        for row in ordered[:SCREEN]
    ]
    text = table(("DEVICE", "ROLE", "STATE", "FOR", "VERSION", "LOCATION"), shown)
    more = len(devices) - len(shown)
    rest = [f"… and {more} more: rdv-admin device list"] if more > 0 else []
    return heading(f"DEVICES ({count})", [*text.splitlines(), *rest])


def _rank(row: dict[str, Any]) -> tuple[bool, bool, float, str]:
    """Those that matter now come first: in a session, online, the others by when they were last seen."""
    seen = None if row["online"] else row.get("last_seen")
    ago = -datetime.datetime.fromisoformat(seen).timestamp() if seen else math.inf
    return not row.get("in_session"), not row["online"], ago, row["id"]


def _when(row: dict[str, Any], now: datetime.datetime) -> str:
    """How long it has been online, or offline."""
    instant = row.get("since") if row["online"] else row.get("last_seen")
    return since(instant, now) if instant else "-"


def _where(row: dict[str, Any]) -> str:
    return cell(row, "location") if row.get("location") else cell(row, "label")
