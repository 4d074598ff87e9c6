"""What the walk has found out so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tundev.config import Config
from tundev.lan import Uplink
from tundev.transport import Route
from vtunlib.errors import RdvError
from vtunlib.tunnel import Role

HEADERS = 28
"""Bytes of a packet before the payload of an ICMP echo: IPv4 without options, ICMP."""


@dataclass(frozen=True)
class Way:
    """One way to the RDV server: what is dialled first, and what came of it.

    error: of TCP; refused: of what is spoken on it (an SSH banner, TLS); oddity: of the certificate.
    """

    text: str
    error: RdvError | None = None
    refused: RdvError | None = None
    oddity: str = ""
    address: str = ""


@dataclass(frozen=True)
class Path:
    """What a path carries: bytes of the largest packet that came back, 0 where not even a small one did.

    known: the size that the kernel has learned for it, so that TCP keeps to it.
    """

    largest: int
    known: int


@dataclass(frozen=True)
class Bridge:
    """The onsite's bridge: whether it is there, and which of its ports have a cable."""

    there: bool
    plugged: tuple[str, ...] = ()


@dataclass
class Facts:
    """Filled as the walk goes on; None is not known, or not looked at yet."""

    role: Role
    config: Config | None = None
    fault: RdvError | None = None
    """Of the configuration."""
    status: Mapping[str, Any] | None = None
    port: Mapping[str, Any] | None = None
    uplink: Uplink | None = None
    gateway: str = ""
    bridge: Bridge | None = None
    resolvers: list[str] = field(default_factory=list)
    name: str = ""
    """What is resolved: the RDV server's host, or that of the proxy on the way to it."""
    addresses: list[str] = field(default_factory=list)
    unresolved: RdvError | None = None
    ways: dict[Route, Way] = field(default_factory=dict)
    explanation: RdvError | None = None
    """Why no way is open: a captive portal, or the failure of the last one."""
    carrier: bool | None = None
    """Of the tunnel's end here."""
    gateway_answers: bool | None = None
    """None: only root may ask."""
    uplink_path: Path | None = None
    tunnel_path: Path | None = None
