"""Removes what a lab left, knowing nothing but its name.

Everything is found by its prefix: cgroups and scopes, processes by their network
namespace, mounts below the lab's directory. Doing it twice is no error.
"""

from __future__ import annotations

import shutil

from tests.lab import cgroup
from tests.lab.host import Host, delete_netns, kill_netns
from tests.lab.place import ADHOC, NETNS, PREFIX, RUN, Place, mounts_below
from tests.lab.process import LabError, run


def namespaces(lab: str) -> list[str]:
    """Names of the lab's network namespaces that exist."""
    if not NETNS.is_dir():
        return []
    return sorted(entry.name for entry in NETNS.iterdir() if entry.name.startswith(f"{PREFIX}{lab}-"))


def clean(place: Place) -> None:
    """Remove everything of the lab. The caller holds its lock."""
    found = namespaces(place.lab)
    for name in found:
        kill_netns(name)
    cgroup.remove(f"{PREFIX}{place.lab}-*")
    delete_netns(found)
    place.unmount()


def remove_host(host: Host) -> None:
    """Remove one host that has been stopped, with its files; the rest of the lab stays."""
    delete_netns([host.netns])
    for target in reversed(mounts_below(host.path)):
        run(["umount", "--lazy", str(target)], check=False)
    shutil.rmtree(host.path, ignore_errors=True)


def leftovers(place: Place) -> bool:
    """Whether there is anything of the lab."""
    return bool(namespaces(place.lab) or mounts_below(place.path) or place.path.exists())


def clean_all() -> tuple[list[str], list[str]]:
    """Clean every lab that no process holds; the names of those that left something and of those in use.

    Single machines are left alone: they are meant to outlive the command that booted them.
    """
    labs = {path.stem for path in RUN.glob("*.lock")} - {ADHOC} if RUN.is_dir() else set()
    done, busy = [], []
    for lab in sorted(labs):
        place = Place(lab)
        try:
            place.lock()
        except LabError:
            busy.append(lab)
            continue
        try:
            if leftovers(place):
                clean(place)
                done.append(lab)
        finally:
            place.unlock()
    return done, busy
