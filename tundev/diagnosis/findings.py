"""The steps of the walk, and what is said of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """In the order of the way; which of them a role has, tundev.diagnosis.walk says."""

    CONFIGURATION = "configuration"
    ADAPTER = "adapter"
    LEASE = "lease"
    UPLINK = "uplink"
    BRIDGE = "bridge"
    DNS = "DNS"
    SERVER = "RDV server"
    TRANSPORT = "transport"
    SHELL = "shell"
    TUNNEL = "tunnel"
    FAR_END = "far end"
    LAN = "LAN"
    MTU = "MTU"


class Verdict(StrEnum):
    """What came of a step."""

    OK = "ok"
    FAILED = "failed"
    OPEN = "open"
    """Not judged: an earlier step failed, there is nothing to judge now, or it needs root."""


@dataclass(frozen=True)
class Finding:
    """step, and what is to be said of it on one line; todo: what to do, where something is to be done."""

    step: Step
    verdict: Verdict
    text: str
    todo: str = ""
