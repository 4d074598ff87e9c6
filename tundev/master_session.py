"""One session as the master holds it: opened, kept, undone.

It is over as soon as any of these says so: the technician, the time limit, the
RDV, the tunnel's carrier, the connection. `over` holds the first of them.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from tundev import leg, paths, technician_port
from tundev.borrowed_port import BorrowedPort, Use
from tundev.contract import Key
from tundev.shell_client import Shell
from vtunlib import probe
from vtunlib.errors import ProtocolError, RdvError, SessionFailed, named
from vtunlib.network import Network, watch_carriers
from vtunlib.network.kernel import Kernel
from vtunlib.threads import to_its_end
from vtunlib.tunnel import TunnelMode, VtunParameters
from vtunlib.words import Word

UP_SECONDS = 35.0
"""Until the far end must answer; the RDV gives up after 30 s and says why."""
PROBE_SECONDS = 2.0
"""Between two probes of a session that is up."""
FIRST_PATIENCE = 0.1
LAST_PATIENCE = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """What the technician asked for. time_limit: seconds, 0 for none."""

    onsite: str
    mode: TunnelMode
    reason: str = ""
    time_limit: int = 0
    patience: int = 0
    """Seconds to wait for the technician's port where it is not ready."""


@dataclass(frozen=True)
class Ending:
    """Why a session is over; as_wished: this side wanted it so."""

    error: RdvError
    as_wished: bool = False


class MasterSession:
    """Waits for the port with `wait`, opens with `open`, lives in `keep`, ends with `undo`, in this order."""

    def __init__(
        self, wish: Wish, shell: Shell, network: Network, port: BorrowedPort, step: Callable[[str], None]
    ) -> None:
        """step: told what is about to happen, for a person."""
        self.wish = wish
        self.lan: ipaddress.IPv4Interface | None = None
        self.dns: list[str] = []
        self.rtt: float | None = None
        self.reach = ""
        self.since = datetime.datetime.now(datetime.UTC)
        self.over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._shell = shell
        self._network = network
        self._port = port
        self._tell_step = step
        self._last_step = ""
        self._ends: datetime.datetime | None = None
        self._bytes: tuple[int, int] | None = None
        self._carrier = asyncio.Event()
        self._up_at_rdv = asyncio.Event()
        self._far_end: str | None = None
        self._asked = False
        self._known_to_rdv = False

    def status(self) -> dict[str, Any]:
        """By contract.Key."""
        return {
            Key.MODE: self.wish.mode,
            Key.ONSITE: self.wish.onsite,
            Key.LAN: str(self.lan) if self.lan else None,
            Key.DNS: self.dns,
            Key.RTT_MS: round(self.rtt * 1000, 1) if self.rtt is not None else None,
            Key.SINCE: self.since.isoformat(timespec="seconds"),
            Key.REASON: self.wish.reason or None,
            Key.REACH: self.reach or None,
            Key.STEP: self._last_step or None,
            Key.ENDS: self._ends.isoformat(timespec="seconds") if self._ends else None,
            **(dict(zip((Key.RX_BYTES, Key.TX_BYTES), self._bytes, strict=True)) if self._bytes else {}),
        }

    def _step(self, text: str) -> None:
        self._last_step = text
        self._tell_step(text)

    def end(self, error: RdvError, *, as_wished: bool = False) -> None:
        """It is over. The first reason counts."""
        if not self.over.done():
            self.over.set_result(Ending(error, as_wished))

    def told(self, status: dict[str, str]) -> None:
        """What the RDV says of this master's session."""
        if status.get("state") == "up":
            self.reach = status.get("reach", "")
            self._up_at_rdv.set()
        if status.get("state") == "none" and self._known_to_rdv:
            why = status.get("ended", "") or "the RDV ended it"
            name, colon, text = why.partition(": ")
            ended = named(name, text) if colon and name.isidentifier() else SessionFailed(why)
            self.end(ended)

    # its life

    async def wait(self) -> None:
        """Return when the technician's port is ready. Raises RdvError."""
        await self._port.ready(self.wish.patience, self._step)

    async def open(self) -> None:
        """Ask for it and join it; returns when the far end answers. Raises RdvError."""
        wish = self.wish
        leg.check_vtund()
        self._step(f"asking the RDV for {wish.onsite} in {wish.mode}")
        words = [wish.onsite, *([wish.reason] if wish.reason else [])]
        # All at once: each answer would cost a round trip otherwise.
        mode, connected, parameters, remote = self._shell.send(
            [
                (Word.SET_TUNNEL_MODE, (wish.mode,)),
                (Word.CONNECT_TO_ONSITE_DEV, words),
                (Word.GET_VTUN_PARAMETERS, ()),
                (Word.SHOW_REMOTE_ONSITE_IP_CONFIG, ("-v",)),
            ]
        )
        self._asked = True
        try:
            await mode
            await connected
        except RdvError:
            self._asked = False
            raise
        self._known_to_rdv = True
        await self._join(VtunParameters.from_lines(await parameters), await remote)
        self._step("waiting for the tunnel")
        await self._carrier.wait()
        if wish.mode is TunnelMode.L3:
            await self._port.ask_through(self.dns)
        self._step("tunnel up, asking the far end")
        await self._first_answer()
        await self._up_at_rdv.wait()
        self._step("connected")
        self._last_step = ""
        self.since = datetime.datetime.now(datetime.UTC)
        if wish.time_limit:
            self._ends = self.since + datetime.timedelta(seconds=wish.time_limit)

    async def _join(self, parameters: VtunParameters, remote: list[str]) -> None:
        try:
            self.lan = ipaddress.IPv4Interface(remote[0])
            self.dns = [str(ipaddress.IPv4Address(word)) for word in " ".join(remote[1:]).split()]
        except (ValueError, IndexError):
            raise ProtocolError("the RDV's answer on the onsite's network is malformed") from None
        self._step("setting up this end of the tunnel")
        mode = self.wish.mode
        interface = await self._port.borrow(Use(mode, str(self.lan), tuple(self.dns)))
        await to_its_end(self._network.set, technician_port.joined(interface, parameters, mode))
        await to_its_end(leg.start, parameters, mode)
        if mode is TunnelMode.L2:
            await self._port.replug()

    async def _first_answer(self) -> None:
        patience = FIRST_PATIENCE
        while self.rtt is None:
            await self._probe(patience)
            patience = min(2 * patience, LAST_PATIENCE)

    async def keep(self, probed: Callable[[], None]) -> None:
        """Ask the far end again and again; ends only by being cancelled. probed: told of each answer."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            await self._probe(LAST_PATIENCE)
            probed()

    async def _probe(self, patience: float) -> None:
        assert self.lan is not None
        if self.wish.mode is TunnelMode.L3:
            rtt = await probe.ping(self.lan.ip, link=paths.LEG, deadline=patience)
        else:
            answer = await probe.arp_probe(
                self.lan.ip, paths.MASTER_BRIDGE, mac=self._far_end, deadline=patience
            )
            rtt, self._far_end = answer if answer else (None, None)
        if rtt is None and patience < LAST_PATIENCE:
            return
        self.rtt = rtt
        self._bytes = await asyncio.to_thread(_counted)

    async def watch_tunnel(self, changed: Callable[[bool], None]) -> None:
        """Tell of the tunnel's carrier; a carrier that is lost ends the session."""
        async with aclosing(watch_carriers(None, {paths.LEG})) as carriers:
            async for _, up in carriers:
                if up:
                    self._carrier.set()
                    changed(True)
                elif self._carrier.is_set():
                    changed(False)
                    # The RDV's word comes before, where it was the RDV that ended the session.
                    await asyncio.sleep(leg.WORD_SECONDS)
                    self.end(SessionFailed("the tunnel went down"))

    async def leave(self) -> None:
        """Tell the RDV, where it does not know yet; also where its answer was not waited for."""
        if self._asked:
            with suppress(RdvError):
                await self._shell.ask(Word.DROP_VTUN, str(self.over.result().error)[:200])

    async def undo(self) -> None:
        """This end as it was. What is gone already is no error; what fails is told in the journal."""
        for job in (leg.stop, lambda: self._network.set(technician_port.idle())):
            try:
                await to_its_end(job)
            except RdvError as error:
                log.error("%s", error)
        try:
            await self._port.give_back()
        except RdvError as error:
            log.error("%s", error)


def _counted() -> tuple[int, int] | None:
    """Bytes that came through the tunnel, and that went into it."""
    with Kernel() as kernel:
        link = kernel.link(paths.LEG)
    return (link.received, link.sent) if link else None


async def until_over(session: MasterSession, work: Coroutine[Any, Any, None]) -> None:
    """Await `work`, or cancel it as soon as the session is over and raise why."""
    task = asyncio.create_task(work)
    try:
        either: set[asyncio.Future[Any]] = {task, session.over}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if session.over.done():
            raise session.over.result().error
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
