"""A process that keeps events is killed, again and again: what it said was kept must be there afterwards.

The writer says each event's name on its standard output after the recorder has said
that it is on disk. SIGKILL takes what the process had in memory; that a power loss
takes no more is SQLite's promise for synchronous=FULL, which a test holds it to.
"""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rdv.audit.store import Store

_WRITER = """
import asyncio, sys
from pathlib import Path
from rdv.audit.events import Event, Kind
from rdv.audit.writer import Recorder
from rdv.settings import Audit
from rdv.manager.warnings import Warnings

async def main(path, name):
    recorder = Recorder(Audit(), Warnings(), Path(path))
    recorder.start()
    for number in range(10**9):
        recorder.record(Event(Kind.ONLINE, f"beside-{name}-{number}", more={"address": "192.0.2.1"}))
        event = Event(Kind.SESSION_OPENED, f"{name}-{number}", more={"reason": "r" * 100})
        await recorder.keep(event)
        print(event.device, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Losses:
    """What became of the events that a killed writer had said were kept."""

    kept: int
    lost: int
    doubled: int


def kill_writers(path: Path, kills: int, seed: int = 1) -> Losses:
    """Kill so many writers, one after the other, each after another number of events. Raises StoreDamaged."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    said: list[str] = []
    for number in range(kills):
        argv = [sys.executable, "-c", _WRITER, str(path), f"w{number}"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            try:
                said += [writer.stdout.readline().strip() for _ in range(chance.randint(1, 40))]
            finally:
                writer.kill()
            # What it had said before it died, and nobody had read yet; a torn last line is not said.
            said += [line.strip() for line in writer.stdout.readlines() if line.endswith("\n")]
    with Store(path) as store:
        store.check()
        found = [event.device for event in store.read()]
    return Losses(len(said), len(set(said) - set(found)), len(found) - len(set(found)))
