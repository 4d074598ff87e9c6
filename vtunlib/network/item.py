"""What a piece of desired network state is."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass

from vtunlib.errors import RdvError
from vtunlib.network.kernel import Kernel

_LINK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}")


@dataclass(frozen=True)
class Item(ABC):
    """One piece of network state that can be brought about and taken away.

    Both may be repeated: `do` on what is already so changes nothing and makes
    no netlink event, `undo` on what is already gone is no error. Both work on
    what a process that is dead by now left behind.
    """

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """What it is that is set. Two items of one key are two versions of the same thing."""

    @abstractmethod
    def do(self, kernel: Kernel, /) -> str | None:
        """Bring it about; returns what `undo` must know of how it was before. Raises RdvError."""

    @abstractmethod
    def undo(self, kernel: Kernel, former: str | None, /) -> None:
        """Take it away; former: what `do` returned, None where nobody knows any more."""


def check_link_name(name: str) -> None:
    """Raises RdvError where the kernel would not take the name, or take it for a pattern."""
    if not _LINK_NAME.fullmatch(name):
        raise RdvError(f"{name!r} is no name for a network interface")
