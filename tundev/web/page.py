"""The page, apart from how it is asked for: what it shows, who looks at it, what it has the agent do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from dbus_fast.aio.message_bus import MessageBus

from tundev.contract import Key
from tundev.states import State
from tundev.web import state as states
from tundev.web.bodies import Wish
from tundev.web.places import Kind, Place, next_place, places
from tundev.web.services import Services
from tundev.web.settings import PageSettings
from tundev.web.stream import Stream, event
from vtunlib.errors import Busy, RdvError

BEGUN_SECONDS = 2.0
"""How long a connect is waited with for its first step, or for why there will be none."""
_STEPS = 32

log = logging.getLogger(__name__)


class Page:
    """What both places show."""

    def __init__(self, bus: MessageBus, settings: PageSettings) -> None:
        self.settings = settings
        self.places: dict[Kind, Place] = {}
        self.services = Services(bus, self._changed, self._stepped)
        self.stream = Stream(self.state)
        self._settled: list[Callable[[], None]] = []
        self._moves_to: Place | None = None
        self._steps: list[str] = []
        self._begun = asyncio.Event()
        self._opening: asyncio.Task[None] | None = None

    def on_change(self, settled: Callable[[], None]) -> None:
        """Call it after each change of what the services tell: the page may have to move."""
        self._settled.append(settled)

    def state(self, kind: Kind) -> str:
        """The whole state as it is seen from there, as JSON."""
        services = self.services
        return states.text(
            states.state(
                services.agent,
                services.port,
                services.onsites,
                self.places,
                seen_from=kind,
                account=self.settings.account,
            )
        )

    def steps(self) -> list[str]:
        """The events of who looks only now: the steps of a session that is being opened."""
        agent = self.services.agent or {}
        opening = agent.get(Key.SESSION) and agent.get(Key.STATE) != State.SESSION_OK
        return [_step(text) for text in self._steps] if opening else []

    def _changed(self) -> None:
        services = self.services
        self.places = places(self.places, services.agent, services.port, uplink=self.settings.uplink)
        if services.agent is not None and not services.agent.get(Key.SESSION):
            self._steps.clear()
        for settled in self._settled:
            settled()
        if (coming := next_place(services.port)) is not None:
            self.moves_to(coming)
        elif self.places.get(Kind.PORT) != self._moves_to:
            self._moves_to = None  # it did not, or has gone on elsewhere
        self.stream.change()

    def _stepped(self, text: str) -> None:
        self._begun.set()
        self._steps = [*self._steps, text][-_STEPS:]
        self.stream.tell(_step(text))

    def moves_to(self, place: Place) -> None:
        """Tell who looks at it on the technician's port, once, that it goes on there."""
        if place != self._moves_to:
            self._moves_to = place
            self.stream.tell(event("moving", states.text({"url": place.url})), place.kind)

    # what a person asks for

    async def connect(self, wish: Wish) -> None:
        """Begin it: returns at its first step; how it ends is in the state, or the event `failed`.

        Raises RdvError where it fails before that.
        """
        if self._opening is not None and not self._opening.done():
            raise Busy("a session is being opened already", "wait for it, or disconnect")
        self._begun.clear()
        opening = self._opening = asyncio.create_task(self.services.connect(wish))
        begun = asyncio.create_task(self._begun.wait())
        await asyncio.wait({opening, begun}, timeout=BEGUN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if opening.done():
            await opening
        else:
            opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        if opening.cancelled() or (error := opening.exception()) is None:
            return
        if not isinstance(error, RdvError):
            log.error("a connect failed", exc_info=error)
            error = RdvError("internal error; the journal has more")
        self.stream.tell(event("failed", states.text(states.told(error))))

    async def disconnect(self) -> None:
        """Returns when everything is undone. Raises RdvError."""
        await self.services.disconnect()


def _step(text: str) -> str:
    return event("step", states.text({"text": text}))
