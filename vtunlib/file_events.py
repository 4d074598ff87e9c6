"""inotify(7): the kernel tells that something in a directory changed; what it was is read afterwards."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable
from pathlib import Path

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _DELETE = 0x8, 0x40, 0x80, 0x200  # sys/inotify.h
_EVENTS = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _DELETE

Cannot = Callable[[object, str], None]
"""Told of what the kernel does not watch, and why."""


def watch(directories: Iterable[Path], cannot: Cannot) -> int | None:
    """A descriptor that never blocks, readable after a change in them; None where the kernel gives none."""
    descriptor: int = _libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        cannot("files", os.strerror(ctypes.get_errno()))
        return None
    add(descriptor, directories, cannot)
    return descriptor


def add(descriptor: int, directories: Iterable[Path], cannot: Cannot) -> None:
    """Watch these with it too; one that is watched already is no error."""
    for directory in directories:
        if _libc().inotify_add_watch(descriptor, os.fsencode(directory), ctypes.c_uint32(_EVENTS)) < 0:
            cannot(directory, os.strerror(ctypes.get_errno()))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
