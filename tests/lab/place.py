"""Where the lab keeps what it makes, and the lock that holds one lab of a name at a time.

A lab called `demo` owns the names that begin with `rdvlab-demo-`: network namespaces,
cgroups or scopes, and the tmpfs on /run/rdvlab/demo. The kernel frees the lock when its
holder dies, so a free lock with leftovers is an interrupted run.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path
from types import TracebackType

from tests.lab.process import LabError, run

PREFIX = "rdvlab-"
ADHOC = "adhoc"  # the lab of single machines
RUN = Path("/run/rdvlab")
CACHE = Path("/var/cache/rdv-lab")
NETNS = Path("/run/netns")
_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")


def full_name(lab: str, name: str) -> str:
    """The name under which the host knows the namespace and cgroup of `name` in `lab`."""
    for part in (lab, name):
        if not _NAME.fullmatch(part):
            raise LabError(f"{part!r} is no name: at most 16 small letters and digits, a letter first")
    return f"{PREFIX}{lab}-{name}"


class Place:
    """The directory of one lab: a tmpfs, so that nothing waits for a disk and undo is one umount."""

    def __init__(self, lab: str) -> None:
        full_name(lab, "x")
        self.lab = lab
        self.path = RUN / lab
        self._lock: int | None = None

    def lock(self) -> None:
        """Hold the lab's name; LabError if another process has it."""
        RUN.mkdir(mode=0o755, exist_ok=True)
        file = RUN / f"{self.lab}.lock"
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode().strip()
            os.close(descriptor)
            raise LabError(f"lab {self.lab!r} is in use by process {holder}; wait for it or end it") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor

    def unlock(self) -> None:
        """Let another process have the name. The lock's file stays: removing it would be a race."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def mount(self) -> None:
        """The tmpfs, shared so that the machines' private mount namespaces see what is unmounted."""
        if os.path.ismount(self.path):
            return
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        run(["mount", "-t", "tmpfs", "-o", "mode=755,size=75%", f"{PREFIX}{self.lab}", str(self.path)])
        run(["mount", "--make-shared", str(self.path)])

    def unmount(self) -> None:
        """All mounts below and the tmpfs; what is gone already is no error."""
        for target in reversed(mounts_below(self.path)):
            run(["umount", "--lazy", str(target)], check=False)
        if self.path.is_dir():
            self.path.rmdir()

    def __enter__(self) -> Place:
        self.lock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unlock()


def mounts_below(path: Path) -> list[Path]:
    """Mount points at and below `path`, in the order in which they were mounted."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        target = Path(line.split()[4].encode().decode("unicode_escape"))
        if target == path or path in target.parents:
            found.append(target)
    return found


def on_systemd() -> bool:
    """Whether systemd runs this host (sd_booted(3))."""
    try:
        return stat.S_ISDIR(os.lstat("/run/systemd/system").st_mode)
    except FileNotFoundError:
        return False
