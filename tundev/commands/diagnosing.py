"""`masterdev diagnose` and `onsitedev diagnose`: a line for each step of the way, as soon as it is known."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from tundev.client import AgentClient
from tundev.diagnosis.findings import Finding, Step, Verdict
from tundev.diagnosis.walk import walk
from vtunlib.errors import FaultFound, printable

_SIGNS = {Verdict.OK: "✓", Verdict.FAILED: "✗", Verdict.OPEN: "\u2013"}
_PLAIN_SIGNS = {Verdict.OK: "ok", Verdict.FAILED: "FAIL", Verdict.OPEN: "-"}
"""Where the signs might not be shown, or a program reads."""
_NAME = max(len(step) for step in Step)


def add_parser(commands: Any) -> None:
    """The word `diagnose`."""
    parser = commands.add_parser(
        "diagnose", help="walk the way to the far end: what works, and what to do about what does not"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(work=diagnose)


async def diagnose(agent: AgentClient, arguments: argparse.Namespace) -> int:
    """Print each finding as soon as it is known. Raises FaultFound where something fails."""
    found = []
    async for finding in walk(agent):
        found.append(finding)
        if not arguments.json:
            print("\n".join(lines(finding, signs=_signs_can_be_shown())), flush=True)
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    failed = [finding.step for finding in found if finding.verdict is Verdict.FAILED]
    if failed:
        raise FaultFound(f"not as it should be: {', '.join(failed)}")
    return 0


def lines(finding: Finding, *, signs: bool) -> list[str]:
    """A finding for a person; what to do is on a line of its own."""
    sign = _SIGNS[finding.verdict] if signs else _PLAIN_SIGNS[finding.verdict].ljust(4)
    told = [f"{sign} {finding.step:<{_NAME}}  {finding.text}"]
    if finding.todo:
        told.append(f"{' ' * (len(sign) + _NAME + 3)}{'→' if signs else '->'} {finding.todo}")
    return [printable(line) for line in told]


def _signs_can_be_shown() -> bool:
    return sys.stdout.isatty() and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
