"""The steps of the walk, and what is said of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vtunlib.errors import printable


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


_SIGNS = {Verdict.OK: "✓", Verdict.FAILED: "✗", Verdict.OPEN: "\u2013"}
_PLAIN_SIGNS = {Verdict.OK: "ok", Verdict.FAILED: "FAIL", Verdict.OPEN: "-"}
"""Where the signs might not be shown, or a program reads."""
_NAME = max(len(step) for step in Step)


def lines(finding: Finding, *, signs: bool) -> list[str]:
    """A finding for a person; what to do is on a line of its own."""
    sign = _SIGNS[finding.verdict] if signs else _PLAIN_SIGNS[finding.verdict].ljust(4)
    told = [f"{sign} {finding.step:<{_NAME}}  {finding.text}"]
    if finding.todo:
        told.append(f"{' ' * (len(sign) + _NAME + 3)}{'→' if signs else '->'} {finding.todo}")
    return [printable(line) for line in told]
