"""Who must look again: revisions of what each device may see, told in batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable


class Changes:
    """tell: given, once per turn of the loop, the accounts for which something changed."""

    def __init__(self, tell: Callable[[list[str]], None]) -> None:
        self._tell = tell
        # A revision of an earlier process never comes again.
        self._start = time.time_ns()
        self._counts: dict[str, int] = {}
        self._pending: set[str] = set()

    def revision(self, account: str) -> int:
        """Another number as soon as what the account may see has changed."""
        return self._start + self._counts.get(account, 0)

    def note(self, accounts: Iterable[str]) -> None:
        """What these accounts may see has changed."""
        for account in accounts:
            self._counts[account] = self._counts.get(account, 0) + 1
            if not self._pending:
                asyncio.get_running_loop().call_soon(self._flush)
            self._pending.add(account)

    def _flush(self) -> None:
        accounts, self._pending = sorted(self._pending), set()
        self._tell(accounts)
