"""What a restart of the shell service costs with thousands of devices connected."""

from __future__ import annotations

import time

from tests.bench.figures import Figure
from tests.lab.fleet import SHELL, SIZE, asked, dialled, rdv_alone
from tests.lab.machine import Machine


def restart() -> list[Figure]:
    """Seconds, and the memory that the service takes by itself (PSS)."""
    with rdv_alone() as rdv, dialled(rdv) as fleet:
        memory = _pss(rdv)
        started = time.perf_counter()
        rdv.run(["systemctl", "restart", SHELL], deadline=180)
        restarted = time.perf_counter()
        told = asked(fleet)
        answered = time.perf_counter()
    connected = f"{SIZE} devices connected"
    return [
        Figure(f"restart of the shell service, {connected}", restarted - started, "s", 1),
        Figure("from there until each was answered by the manager", answered - restarted, "s", 1),
        Figure("of them lost", SIZE - int(str(told["right"])), "", 1),
        Figure(f"memory of the shell service, {connected}", memory, "MiB", 1),
    ]


def _pss(rdv: Machine) -> float:
    pid = rdv.run(["systemctl", "show", "--property=MainPID", "--value", SHELL]).out.strip()
    lines = rdv.run(["cat", f"/proc/{pid}/smaps_rollup"]).out.splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
