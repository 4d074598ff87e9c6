"""Running a function inside a network namespace without leaving one's own.

A socket stays in the namespace in which it was opened, so most callers open
theirs in here and use it outside. Only the fresh thread enters; the process's
other threads never notice.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from vtunlib.errors import NotFound, RdvError

DIRECTORY = Path("/run/netns")
"""Where `ip netns` keeps the named namespaces."""

_CLONE_NEWNET = 0x40000000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_libc = ctypes.CDLL(None, use_errno=True)

P = ParamSpec("P")
R = TypeVar("R")


def path(namespace: str) -> Path:
    """The file of the namespace named so. Raises RdvError on a name that is none."""
    if not _NAME.fullmatch(namespace):
        raise RdvError(f"{namespace!r} is no name for a network namespace")
    return DIRECTORY / namespace


def exists(namespace: str | None) -> bool:
    """Whether there is a network namespace of that name; None is the caller's own."""
    return namespace is None or os.path.ismount(path(namespace))


def inside(namespace: str | None, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `function(*args)` returns or raises, run in a fresh thread inside `namespace`.

    None is the caller's own namespace. Blocks until the function ends. Raises
    NotFound where there is no such namespace.
    """
    results: list[R] = []
    errors: list[BaseException] = []

    def enter_and_run() -> None:
        try:
            if namespace is not None:
                _enter(namespace)
            results.append(function(*args, **kwargs))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter_and_run, name=f"netns-{namespace}", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(namespace: str) -> None:
    try:
        fd = os.open(path(namespace), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"there is no network namespace {namespace}") from None
    try:
        if _libc.setns(fd, _CLONE_NEWNET):
            error = ctypes.get_errno()
            # EINVAL: the file is still there but nothing is mounted on it.
            raise NotFound(f"cannot enter network namespace {namespace}: {os.strerror(error)}")
    finally:
        os.close(fd)
