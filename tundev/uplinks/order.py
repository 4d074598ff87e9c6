"""In which order the uplinks are preferred: by the metrics that their connections of NetworkManager ask for.

NetworkManager that is restarted leaves the kernel's networks as they are, and has no connection on
them for a while after it is back. What it said of an uplink before holds until then: or the
one in use would be given up for another one that it has a moment sooner.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from tundev import lan
from tundev.lan import WayOut
from tundev.uplinks.networkmanager import NetworkManager
from vtunlib.errors import NotRunning, RdvError, Timeout
from vtunlib.tunnel import UplinkType

BACK_SECONDS = 30.0
"""Within these NetworkManager that is back has a connection on each uplink again; a modem's takes longest."""
METRICS: Mapping[UplinkType, int] = {
    UplinkType.LAN: 100,
    UplinkType.OTHER: 500,
    UplinkType.WLAN: 600,
    UplinkType.MOBILE: 700,
}
"""NetworkManager's own for a connection that asks for none, about (nm_device_get_route_metric_default)."""

log = logging.getLogger(__name__)


class Order:
    """Asks NetworkManager; is told when that comes."""

    def __init__(self, networkmanager: NetworkManager, back_seconds: float = BACK_SECONDS) -> None:
        self.metrics: dict[str, int] = {}
        """Of each uplink, by its own connection."""
        self._networkmanager = networkmanager
        self._back_seconds = back_seconds
        self._back_until = 0.0
        self._remembered = False
        self._foreign: set[str] = set()
        """Interfaces with a default route that NetworkManager does not have."""

    def came(self) -> None:
        """NetworkManager is on the bus, for the first time or again."""
        self._back_until = _now() + self._back_seconds

    @property
    def again(self) -> float | None:
        """After how many seconds to look again though nothing is heard; None for not."""
        return max(0.0, self._back_until - _now()) if self._remembered else None

    async def sorted(self, ways: tuple[WayOut, ...]) -> tuple[WayOut, ...]:
        """Those that NetworkManager has, the best first."""
        metrics: dict[str, int] = {}
        foreign: set[str] = set()
        self._remembered = False
        for way in ways:
            link = way.uplink.link
            try:
                metrics[link] = await self._asked(link)
            except RdvError as error:
                if link in self.metrics and self._is_away(error):
                    metrics[link] = self.metrics[link]
                    continue
                if link not in self._foreign:
                    log.info("%s is left as it is: %s", link, error)
                foreign.add(link)
        self.metrics, self._foreign = metrics, foreign
        ours = [way for way in ways if way.uplink.link in metrics]
        return tuple(sorted(ours, key=lambda way: metrics[way.uplink.link]))

    async def _asked(self, link: str) -> int:
        asked = await self._networkmanager.own_metric(link)
        return asked if asked is not None else METRICS[lan.uplink_type(link)]

    def _is_away(self, error: RdvError) -> bool:
        """Whether that is no answer, for NetworkManager is not there, or not long enough."""
        if isinstance(error, NotRunning | Timeout):
            return True
        away = _now() < self._back_until
        self._remembered |= away
        return away


def _now() -> float:
    return asyncio.get_running_loop().time()
