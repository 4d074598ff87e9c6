"""Network namespaces for a test, and never longer than for it."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

_PREFIX = "rdvtest-"
_numbers = itertools.count()

MakeNamespace = Callable[[], str]


def ip(*words: str, namespace: str | None = None) -> str:
    """What `ip` prints; words of one argument each."""
    inside = ["-n", namespace] if namespace else []
    return subprocess.run(["ip", *inside, *words], check=True, capture_output=True, text=True).stdout


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def make_namespace() -> Iterator[MakeNamespace]:
    """Makes a new, empty namespace each time it is called, and returns its name."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    made: list[str] = []

    def make() -> str:
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        ip("netns", "add", name)
        made.append(name)
        return name

    yield make
    for name in made:
        pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
        for pid in pids.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
def namespace(make_namespace: MakeNamespace) -> str:
    """A new, empty namespace."""
    return make_namespace()
