"""The server's own settings, `/etc/rdv/rdv.toml`: what is not said there has a default that works.

Each table is one dataclass; a key is one field of it. A file that cannot be taken
is refused with line, key and what was expected.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdv import toml_file
from vtunlib.errors import NotFound, RdvError

FILE = Path("/etc/rdv/rdv.toml")

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_TEST_NET = ipaddress.IPv4Address("192.0.2.1")


@dataclass(frozen=True)
class Server:
    """[server]. name: the name or address by which devices reach this server; empty: found out."""

    name: str = ""


@dataclass(frozen=True)
class Audit:
    """[audit]: what is older than keep_days, or over max_mib in the file, goes; the oldest first."""

    keep_days: int = 365
    max_mib: int = 256


@dataclass(frozen=True)
class Metrics:
    """[metrics]. listen: "off", "127.0.0.1:PORT", "[::1]:PORT" or "unix:/run/rdv/metrics.sock"."""

    listen: str = "off"


@dataclass(frozen=True)
class Settings:
    """The whole file."""

    server: Server = field(default_factory=Server)
    audit: Audit = field(default_factory=Audit)
    metrics: Metrics = field(default_factory=Metrics)


Check = Callable[[object], bool]


def _number(least: int, most: int) -> tuple[Check, str]:
    def check(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return check, f"a number from {least} to {most}"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and (value == "" or _NAME.fullmatch(value) is not None)


def _is_listen(value: object) -> bool:
    if value in ("off", "unix:/run/rdv/metrics.sock"):
        return True
    found = re.fullmatch(r"(?:127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\]):(\d{1,5})", str(value))
    return isinstance(value, str) and found is not None and 0 < int(found[1]) < 65536


_FORMS: Mapping[str, tuple[type, Mapping[str, tuple[Check, str]]]] = {
    "server": (Server, {"name": (_is_name, "a name or an address, without a port")}),
    "audit": (Audit, {"keep_days": _number(1, 36500), "max_mib": _number(1, 65536)}),
    "metrics": (
        Metrics,
        {"listen": (_is_listen, '"off", "127.0.0.1:9101" or another loopback, "unix:/run/rdv/metrics.sock"')},
    ),
}


def load(path: Path = FILE) -> Settings:
    """The settings; all of them the defaults where there is no file. Raises ConfigError."""
    try:
        data, text = toml_file.read(path)
    except NotFound:
        return Settings()
    tables: dict[str, Any] = {}
    for table, values in data.items():
        if table not in _FORMS or not isinstance(values, dict):
            known = ", ".join(f"[{name}]" for name in _FORMS)
            raise toml_file.fault(path, text, table, f"one of the tables {known}")
        kind, forms = _FORMS[table]
        for key, value in values.items():
            if key not in forms:
                raise toml_file.fault(path, text, key, f"in [{table}] one of {', '.join(forms)}")
            check, expected = forms[key]
            if not check(value):
                raise toml_file.fault(path, text, key, expected)
        tables[table] = kind(**values)
    return Settings(**tables)


def server_name(settings: Settings) -> str:
    """How devices reach this server: as set, else its full name, else the address it has towards the net.

    Raises RdvError where none of them is to be had.
    """
    if settings.server.name:
        return settings.server.name
    full = socket.getfqdn()
    if "." in full and not full.startswith("localhost"):
        return full
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(_TEST_NET), 9))  # sends nothing: only the route is looked up
            return str(probe.getsockname()[0])
        except OSError:
            raise RdvError(
                "this server's name is not known", f"set name in [server] of {FILE}, or give --server"
            ) from None
