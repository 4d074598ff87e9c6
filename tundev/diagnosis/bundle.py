"""One archive for support: what this device is, how it is, and what it has said, without its secrets."""

from __future__ import annotations

import asyncio
import datetime
import io
import json
import os
import platform
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tundev import paths
from tundev.client import AgentClient, PortClient
from tundev.contract import UNITS
from tundev.diagnosis.findings import lines
from tundev.diagnosis.network_state import network_state
from tundev.diagnosis.scrubbing import Scrubber, of_device, shown_configuration
from tundev.diagnosis.walk import walk
from vtunlib.errors import RdvError
from vtunlib.run import run
from vtunlib.tunnel import Role
from vtunlib.version import VERSION

JOURNAL_LINES = 50_000
JOURNAL_BYTES = 8 * 1024 * 1024
"""The last ones: they are of the trouble that somebody writes about."""
JOURNAL_SECONDS = 60.0

_PACKAGES = ("openssh-client", "vtun", "dnsmasq-base", "network-manager", "nftables", "systemd")


@dataclass(frozen=True)
class Part:
    """A file of the archive; about: what it is, for who looks into it."""

    name: str
    about: str
    text: str


async def parts(agent: AgentClient) -> list[Part]:
    """All of them, without secrets. What cannot be had is a part that says why."""
    configuration = _configuration()
    scrub = Scrubber(of_device(configuration))
    status = await _asked(agent.status)
    port = await PortClient(agent.bus).port() if agent.role is Role.MASTER else None
    diagnosis = await _asked(lambda: _diagnosis(agent))
    units, journal, network, versions = await asyncio.gather(
        *(asyncio.to_thread(_had, read) for read in (_units, _journal, network_state, _versions))
    )
    texts = [
        Part("diagnosis.txt", "what works and what does not, as 'diagnose' tells it", str(diagnosis)),
        Part("journal.txt", "what our services have said since this device was switched on", str(journal)),
        Part("units.txt", "our services, as systemd has them", str(units)),
        Part("tundev.toml", "the configuration, without secrets", shown_configuration(configuration)),
    ]
    data = [
        ("status.json", "the agent's status", status),
        *([("port.json", "the technician's port", port)] if agent.role is Role.MASTER else []),
        ("network.json", "links, addresses, routes, rules, nftables", network),
        ("versions.json", "of our packages, of what they use, of the kernel", versions),
    ]
    made = [Part(part.name, part.about, scrub.text(part.text)) for part in texts]
    made += [Part(name, about, json.dumps(scrub.data(value), indent=1) + "\n") for name, about, value in data]
    return [_contents(made), *made]


def archive(folder: str, members: list[Part], now: datetime.datetime) -> bytes:
    """The .tar.gz: one folder with all parts, readable by its owner alone."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for part in members:
            content = part.text.encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"{folder}/{part.name}")
            entry.size, entry.mode, entry.mtime = len(content), 0o600, int(now.timestamp())
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _contents(members: list[Part]) -> Part:
    rows = [f"{part.name:<15} {part.about}" for part in members]
    text = "\n".join(
        [
            "What is in here:",
            "",
            *rows,
            "",
            "Left out: private keys, one-time keys, the secrets of sessions, passwords, PINs, the user and",
            "password of a proxy, and all of the configuration that this version does not know.",
            "",
        ]
    )
    return Part("CONTENTS", "this list", text)


def _configuration() -> str:
    try:
        return paths.CONFIG.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"# cannot be read: {error.strerror}\n"


async def _asked(question: Callable[[], Any]) -> Any:
    try:
        return await question()
    except RdvError as error:
        return f"not to be had: {error}"


def _had(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (RdvError, OSError) as error:
        return f"not to be had: {error}"


async def _diagnosis(agent: AgentClient) -> str:
    return "".join([f"{line}\n" async for finding in walk(agent) for line in lines(finding, signs=False)])


def _units() -> str:
    return run(["systemctl", "show", "--all", *UNITS], deadline=JOURNAL_SECONDS)


def _journal() -> str:
    chosen = [f"--unit={unit}" for unit in UNITS]
    bounds = ["--boot", f"--lines={JOURNAL_LINES}", "--no-pager", "--output=short-iso-precise", "--utc"]
    text = run(["journalctl", "--quiet", *bounds, *chosen], deadline=JOURNAL_SECONDS)
    if len(text) <= JOURNAL_BYTES:
        return text
    return f"(what was before is left out: more than {JOURNAL_BYTES} bytes)\n{text[-JOURNAL_BYTES:]}"


def _versions() -> dict[str, Any]:
    query = ["dpkg-query", "--show", "--showformat=${binary:Package} ${Version}\n"]
    release = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace")
    return {
        "tundev": VERSION,
        "packages": [_had(partial(run, [*query, name])).strip() for name in _PACKAGES],
        "system": [line for line in release.splitlines() if line.startswith(("PRETTY_NAME", "VERSION_ID"))],
        "kernel": " ".join(os.uname()[2:]),
        "python": platform.python_version(),
        "uptime_seconds": float(Path("/proc/uptime").read_text().split()[0]),
    }
