"""The uplinks of this device while it runs: what is learnt of them, and the one that is made the one in use.

The kernel tells which there are, the agent whether it is connected, a probe the rest.
What follows is tundev.uplinks.choice; here it is brought about, by NetworkManager.
The agent is told nothing: it follows the routes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any

from dbus_fast.aio.message_bus import MessageBus

from tundev import lan
from tundev.agent_here import follow_agent
from tundev.config import Rdv
from tundev.contract import Key
from tundev.lan import WayOut
from tundev.paths import LAN_BRIDGE
from tundev.states import ONLINE
from tundev.told import Values
from tundev.uplinks import probe, standing
from tundev.uplinks.choice import Choice
from tundev.uplinks.networkmanager import HELD_METRIC, NetworkManager
from tundev.uplinks.order import Order
from tundev.uplinks.pick import Pick
from tundev.uplinks.wanted import METRIC_STEP
from vtunlib.errors import RdvError
from vtunlib.service import until_one_ends

AGAIN_SECONDS = 10.0
"""Before NetworkManager is told the same once more: its routes may take a while, or it refuses."""

log = logging.getLogger(__name__)


class Watch:
    """Told by events, it decides and acts; `changed` is called when there is something new to tell."""

    def __init__(self, rdv: Rdv, bus: MessageBus, changed: Callable[[list[dict[str, Any]]], None]) -> None:
        self._rdv = rdv
        self._bus = bus
        self._tell = changed
        self._told: list[dict[str, Any]] = []
        self._logged: str | None = None
        self._choice = Choice()
        self._networkmanager = NetworkManager(bus)
        self._order = Order(self._networkmanager)
        self.pick = Pick(bus, self._picked)
        """What is asked for by hand: the best uplink of that type."""
        self._agent: Values = {}
        self._found: tuple[WayOut, ...] = ()
        self._cut = False
        """The bridge was without a cable, and its network has not been asked for an address since."""
        self._look = asyncio.Event()
        self._ways: tuple[WayOut, ...] = ()
        """Of those that were found, what NetworkManager has, the best first."""
        self._told_at: dict[tuple[str, bool], float] = {}
        self._news = asyncio.Event()
        self._asking: str | None = None
        self._stop_asking = asyncio.Event()
        self.seen = asyncio.Event()
        """It is known which uplinks there are."""

    async def run(self) -> None:
        """Until it is cancelled; raises what it cannot go on after."""
        await follow_agent(self._bus, self._agent_told)
        await until_one_ends(self._follow(), self._look_always(), self._settle_always(), self._ask_always())

    def uplinks(self) -> list[dict[str, Any]]:
        """As GetUplinks answers, in plain types."""
        return self._told

    # what is learnt

    async def _follow(self) -> None:
        async with aclosing(lan.watch(lan.find_ways_out)) as found:  # type: ignore[type-var]
            async for self._found in found:
                self._cut |= any(way.uplink.bridged and not way.plugged for way in self._found)
                self._look.set()

    async def _look_always(self) -> None:
        """What the kernel has, put in order by NetworkManager; anew when that has news, too."""
        await self._networkmanager.on_change(self._look.set, self._order.came)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._order.again):
                    await self._look.wait()
            self._look.clear()
            self._ways = await self._order.sorted(self._found)
            links = [way.uplink.link for way in self._ways if way.plugged]
            self._choice.there(links, _now(), in_use=self._in_use())
            self._pick_again()
            self._agent_changed()
            self.seen.set()

    def _agent_told(self, status: Values | None) -> None:
        self._agent = status or {}
        self._agent_changed()

    def _agent_changed(self) -> None:
        """Whether the agent is connected, and by which uplink."""
        status = self._agent
        online = status.get(Key.STATE) in ONLINE
        link = status.get(Key.UPLINK) if online else None
        self._choice.agent(link, _now(), session=online and bool(status.get(Key.SESSION)))
        self._changed()

    def _in_use(self) -> str | None:
        """The uplink of the routes, as the agent sees it."""
        return min(self._ways, key=lambda way: way.metric).uplink.link if self._ways else None

    def _changed(self) -> None:
        if self._choice.chosen != self._logged:
            log.info("the uplink is %s: %s", self._choice.chosen or "none", self._why())
            self._logged = self._choice.chosen
        self._news.set()
        due = self._choice.due(_now())
        if due is None or due.link != self._asking:
            self._stop_asking.set()
        told = [standing.values(way, self._choice, self._in_use()) for way in self._ways]
        if told != self._told:
            self._told = told
            self._tell(told)

    def _why(self) -> str:
        if self._choice.picked:
            return "picked by hand"
        if self._logged is None:
            return "there was none before"
        if self._logged not in self._choice.links:
            return f"{self._logged} has no cable, address or route any more"
        if self._choice.reason(self._logged):
            return f"{self._logged} does not reach the RDV server"
        return f"it is better than {self._logged}, and reaches the RDV server"

    # what is asked for by hand

    def _picked(self) -> None:
        self._pick_again()
        self._changed()

    def _pick_again(self) -> None:
        found = (link for link in self._choice.links if lan.uplink_type(link) is self.pick.kind)
        link = next(found, None)
        if link is not None or self._choice.picked:
            self._choice.pick(link, _now())

    # what is done about it

    async def _settle_always(self) -> None:
        while True:
            self._news.clear()
            await self._plugged_again()
            again = await self._settle()
            try:
                async with asyncio.timeout(again):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _plugged_again(self) -> None:
        """NetworkManager leaves a bridge its address, though its cable may lead to another network now."""
        if self._cut and any(way.uplink.bridged and way.plugged for way in self._ways):
            self._cut = False
            try:
                await self._networkmanager.ask_anew(LAN_BRIDGE)
            except RdvError as error:
                log.warning("NetworkManager does not ask for an address on %s: %s", LAN_BRIDGE, error)
                self._cut = True

    async def _settle(self) -> float | None:
        """Hold the chosen uplink, and no other; after how many seconds to look again, None for not."""
        chosen = self._choice.chosen
        needed = self._needs_holding(chosen)
        later = []
        # First the one that is to be used: there is no moment without any.
        for way in sorted(self._ways, key=lambda way: way.uplink.link != chosen):
            link, held, wanted = way.uplink.link, way.metric == HELD_METRIC, way.uplink.link == chosen
            if held is not wanted and (needed or not wanted):
                left = self._told_at.get((link, wanted), -AGAIN_SECONDS) + AGAIN_SECONDS - _now()
                if left > 0:
                    later.append(left)
                else:
                    await self._hold(link, wanted)
                    later.append(AGAIN_SECONDS)
        return min(later, default=None)

    def _needs_holding(self, chosen: str | None) -> bool:
        """Not the first of all by its own metric, unless another one is before it all the same."""
        if self._order.metrics.get(chosen or "", 0) > METRIC_STEP:
            return True
        metrics = {way.uplink.link: way.metric for way in self._ways if way.metric != HELD_METRIC}
        return min(metrics, key=lambda link: metrics[link], default=chosen) != chosen

    async def _hold(self, link: str, wanted: bool) -> None:
        self._told_at[link, wanted] = _now()
        try:
            await (self._networkmanager.hold if wanted else self._networkmanager.release)(link)
        except RdvError as error:
            log.warning("NetworkManager does not change %s: %s", link, error)

    async def _ask_always(self) -> None:
        while True:
            self._stop_asking.clear()
            due = self._choice.due(_now())
            if due is not None and due.at <= _now():
                await self._ask(due.link)
                continue
            try:
                async with asyncio.timeout(None if due is None else due.at - _now()):
                    await self._stop_asking.wait()
            except TimeoutError:
                continue

    async def _ask(self, link: str) -> None:
        """Probe an uplink, until that is not what is to be known any more."""
        self._asking = link
        asking = asyncio.create_task(self._probe(link))
        stopped = asyncio.create_task(self._stop_asking.wait())
        try:
            await asyncio.wait({asking, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._asking = None
            for task in (asking, stopped):
                task.cancel()
        if not asking.cancelled() and asking.done():
            self._answered(link, asking.result())

    async def _probe(self, link: str) -> str:
        try:
            servers = await self._networkmanager.dns_servers(link)
        except RdvError as error:
            return error.message
        return await probe.failure(self._rdv, link, servers)

    def _answered(self, link: str, failure: str) -> None:
        before = self._choice.reason(link)
        self._choice.answered(link, failure, _now())
        if failure and failure != before:
            log.info("%s does not reach the RDV server: %s", link, failure)
        if before and not failure:
            log.info("%s reaches the RDV server again", link)
        self._changed()


def _now() -> float:
    return asyncio.get_running_loop().time()
