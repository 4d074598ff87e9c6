"""Where a machine's processes are counted, on hosts that systemd runs and on others.

A machine's systemd needs the unified cgroup hierarchy and a subtree of its own. On a
host with systemd that is a delegated scope. Elsewhere the lab makes the cgroup itself,
and where /sys/fs/cgroup is the old or hybrid hierarchy it shows the machine the unified
one in a mount namespace of its own.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab.place import RUN, on_systemd
from tests.lab.process import run

# $1 is the cgroup's name; the rest is what to run in it.
_ENTER = r"""
set -eu
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount -R /sys/fs/cgroup 2>/dev/null || :
    mount -t cgroup2 none /sys/fs/cgroup
fi
group=/sys/fs/cgroup/$1
shift
mkdir -p "$group"
echo $$ > "$group/cgroup.procs"
exec "$@"
"""


def within(name: str, argv: Sequence[str]) -> list[str]:
    """`argv` so that it runs in a cgroup of its own called `name`."""
    if on_systemd():
        return [
            "systemd-run",
            "--scope",
            "--quiet",
            "--collect",
            f"--unit={name}",
            "-p",
            "Delegate=yes",
            "--",
            *argv,
        ]
    # Slave, so that what the host unmounts is unmounted there too and nothing keeps it alive.
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _ENTER, "sh", name, *argv]


def _hierarchy() -> Path:
    """Where the unified hierarchy is mounted on this host, mounted by the lab if it is nowhere."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2" and fields[3] == "/":
            return Path(fields[4])
    own = RUN / "cgroup"
    own.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "cgroup2", "none", str(own)])
    return own


def remove(pattern: str) -> None:
    """Kill everything in the cgroups whose names match the glob, and remove them."""
    if on_systemd():
        for action in (["kill", "--signal=KILL"], ["stop"]):
            run(["systemctl", *action, f"{pattern}.scope"], check=False)
        return
    for group in _hierarchy().glob(pattern):
        (group / "cgroup.kill").write_text("1", encoding="ascii")
        _wait_empty(group)
        for directory, _, _ in os.walk(group, topdown=False):
            Path(directory).rmdir()


def _wait_empty(group: Path, deadline: float = 10.0) -> None:
    """Until no process is left, told by the kernel through cgroup.events (POLLPRI)."""
    until = time.monotonic() + deadline
    with (group / "cgroup.events").open(encoding="ascii") as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while time.monotonic() < until:
            events.seek(0)
            if "populated 0" in events.read():
                return
            poll.poll(max(0.0, until - time.monotonic()) * 1000)
