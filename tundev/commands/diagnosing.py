"""`masterdev diagnose` and `onsitedev diagnose`: a line for each step of the way, as soon as it is known."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from tundev.client import AgentClient
from tundev.diagnosis.findings import Verdict, lines
from tundev.diagnosis.walk import walk
from vtunlib.errors import FaultFound


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


def _signs_can_be_shown() -> bool:
    return sys.stdout.isatty() and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
