"""The groups of devices, as their files have them now."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from rdv.access.rules import Party
from rdv.devices import DeviceStore
from vtunlib.errors import ConfigError, NotFound, UsageError

log = logging.getLogger(__name__)

FindParty = Callable[[str], Party | None]
"""The device of an account with its groups; None where nothing is known of it, and it may do nothing."""


@dataclass(frozen=True)
class _Read:
    stamp: tuple[int, int, int] | None
    party: Party | None


class Groups:
    """Reads a device's file again only when it changed, so asking costs a stat.

    While a file cannot be taken the groups that it last had count: without them
    another rule, and a wider one, might be the first that matches.
    """

    def __init__(self, store: DeviceStore) -> None:
        self._store = store
        self._known: dict[str, _Read] = {}

    def __call__(self, account: str) -> Party | None:
        """The device with its groups; None where there is no such device, or it never was readable."""
        stamp = None
        try:
            stamp = self._store.stamp(account)
            known = self._known.get(account)
            if known is None or known.stamp != stamp:
                device = self._store.read(account)
                known = self._known[account] = _Read(stamp, Party(account, frozenset(device.groups)))
        except (NotFound, UsageError):
            self._known.pop(account, None)
            return None
        except ConfigError as error:
            log.error("%s: the groups that %s had before count", error, account)
            former = self._known.get(account)
            known = self._known[account] = _Read(stamp, former.party if former else None)
        return known.party
