"""The onsite's agent: online, it waits to be picked; picked, it gives its network to the session.

L3 gives the uplink's network by NAT, L2 by making the tunnel a port of the
uplink's bridge. After the session all is as it was, and it waits again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from dbus_fast.aio.message_bus import MessageBus
from dbus_fast.service import ServiceInterface

from tundev import config, firewall, leg, paths
from tundev.agent import Agent
from tundev.contract import BUS_NAMES, STATUS, Key
from tundev.lan import Uplink
from tundev.shell_client import Command, Shell
from vtunlib import bus as buses
from vtunlib.errors import ModeNotPossible, NoSession, RdvError, SessionFailed, Timeout
from vtunlib.network import Address, Item, Port, watch_carriers
from vtunlib.threads import to_its_end
from vtunlib.tunnel import Role, TunnelMode, VtunParameters
from vtunlib.words import Wait, Word

LEG_SECONDS = 30.0
"""Until the leg has a carrier; the RDV gives up by then, too."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """What the RDV said of it."""

    parameters: VtunParameters
    mode: TunnelMode


def session_items(session: Session, uplink: Uplink, network: Uplink | None = None) -> list[Item]:
    """The network during a session; network: a second one that it reaches. Raises ModeNotPossible."""
    tunnel = leg.items(session.parameters, session.mode)
    if session.mode is TunnelMode.L2:
        if not uplink.bridged:
            raise ModeNotPossible(
                f"the uplink {uplink.link} is no bridge, so L2 is not possible", "use L3, or a wired uplink"
            )
        return [firewall.idle(), *tunnel, Port(paths.LEG, paths.LAN_BRIDGE)]
    links = tuple(dict.fromkeys(one.link for one in (uplink, network) if one is not None))
    return [
        firewall.onsite_routed(links, session.parameters.network),
        *tunnel,
        Address(paths.LEG, session.parameters.device_interface),
        *leg.forwarding(*links),
    ]


class OnsiteAgent(Agent):
    """The agent of onsitedev.service."""

    role = Role.ONSITE
    _session: Session | None = None

    def idle_items(self) -> list[Item]:
        return [firewall.idle()]

    def export(self, bus: MessageBus) -> None:
        bus.export(BUS_NAMES[self.role].path, _Interface(self))

    def more_status(self) -> dict[str, Any]:
        return {Key.SESSION: self._session is not None, Key.MODE: self._session and self._session.mode}

    def introduction(self) -> list[Command]:
        onsite = self.settings.config.onsite or config.Onsite()
        commands: list[Command] = [(Word.SET_UPLINK_TYPE, (self._told_uplink_type(),))]
        if onsite.location:
            commands.append((Word.SET_LOCATION, (onsite.location,)))
        return commands

    def _told_uplink_type(self) -> str:
        """`lan` only where an L2 session could be joined to it, for that is what the RDV goes by."""
        found = self.uplink_type()
        if found.bridgeable and self.uplink and not self.uplink.bridged:
            return "other"
        return found

    async def serve(self, shell: Shell) -> None:
        telling = asyncio.create_task(self._keep_told(shell))
        try:
            while True:
                if await shell.wait(Word.WAIT_MASTER_CONNECTION) is Wait.READY:
                    await self._serve_session(shell)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _keep_told(self, shell: Shell) -> None:
        """Tell the RDV of another network where the uplink stays the same: a cable came or went.

        It ends a wait that is under way there, and the next one begins. What the RDV answers is not
        awaited: where the connection is lost, whoever waits hears of it.
        """
        while True:
            await self.lan_changed.wait()
            shell.send(await self.network_told())

    async def _serve_session(self, shell: Shell) -> None:
        """One session, until the RDV says that it is over. Raises RdvError where the connection is lost."""
        held = asyncio.create_task(self._hold(shell))
        try:
            while await shell.wait(Word.WAIT_MASTER_CONNECTION) is not Wait.RESET:
                pass
            log.info("the session is over")
        finally:
            held.cancel()
            with suppress(asyncio.CancelledError):
                await held

    async def _hold(self, shell: Shell) -> None:
        """The leg, while the session lives. What fails here ends the session at the RDV, with its reason."""
        try:
            await self._join(shell)
        except RdvError as error:
            log.warning("session: %s", error)
            self.failure = error
            with suppress(NoSession):
                await shell.ask(Word.DROP_VTUN, str(error)[:200])
        finally:
            self._session = None
            await to_its_end(self._undo)
            self.note(tunnel=False, session=False)

    async def _join(self, shell: Shell) -> None:
        told, mode = shell.send([(Word.GET_VTUN_PARAMETERS, ()), (Word.GET_TUNNEL_MODE, ())])
        parameters = VtunParameters.from_lines(await told)
        session = self._session = Session(parameters, TunnelMode.parse("".join(await mode)))
        if self.uplink is None:
            raise SessionFailed("this device has no uplink any more")
        leg.check_vtund()
        log.info("session %s, %s", parameters.tunnel_name, session.mode)
        await to_its_end(self.network.set, session_items(session, self.uplink, self.lan))
        starting = asyncio.create_task(to_its_end(leg.start, parameters, session.mode))
        try:
            async with asyncio.timeout(self.settings.time_limit or None):
                await self._follow_carrier(starting)
        except TimeoutError:
            raise SessionFailed(f"the time limit of {self.settings.time_limit} s is over") from None
        finally:
            await asyncio.gather(starting, return_exceptions=True)

    async def _follow_carrier(self, starting: asyncio.Task[None]) -> None:
        """Until the leg is down. Raises SessionFailed then, Timeout where it never comes up."""
        deadline = asyncio.get_running_loop().time() + LEG_SECONDS
        try:
            async with (
                asyncio.timeout_at(deadline) as limit,
                aclosing(watch_carriers(None, {paths.LEG})) as carriers,
            ):
                await starting
                async for _, up in carriers:
                    if up:
                        limit.reschedule(None)
                        self.failure = None
                        self.note(tunnel=True, session=True)
                    elif self._facts.tunnel:
                        self.note(tunnel=False)
                        # The RDV's word ends this task before, where it was the RDV that ended the session.
                        await asyncio.sleep(leg.WORD_SECONDS)
                        raise SessionFailed("the onsite's end of the tunnel went down")
        except TimeoutError:
            if limit.expired():
                raise Timeout(f"the leg did not come up within {LEG_SECONDS:.0f} s") from None
            raise

    def _undo(self) -> None:
        steps: list[Callable[[], None]] = [leg.stop, lambda: self.network.set(self.idle_items())]
        for undo in steps:
            try:
                undo()
            except RdvError as error:
                log.error("%s", error)


class _Interface(ServiceInterface):
    def __init__(self, agent: OnsiteAgent) -> None:
        self._agent = agent
        super().__init__(BUS_NAMES[agent.role].interface)

    @buses.answers(STATUS)
    @buses.annotated("a{sv}")
    def status(self):  # type: ignore[no-untyped-def]
        return buses.variants(self._agent.status())
