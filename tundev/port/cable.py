"""The cable in the adapter: whether somebody is at its other end, short interruptions left out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tundev.port import life


class Cable:
    """Told of the carrier as it changes; `linked` outlasts it for as long as life.patience has it.

    replugged: when this device took the link down and up itself, by time.monotonic.
    pulled: called when the carrier has been away for too long.
    """

    def __init__(
        self, grace: float, replugged: Callable[[], float | None], pulled: Callable[[], None]
    ) -> None:
        self.carrier = False
        self.linked = False
        self._grace = grace
        self._replugged = replugged
        self._pulled = pulled
        self._away_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def forget(self) -> None:
        """It is another adapter's cable from now on."""
        self._stop_timer()
        self.carrier = self.linked = False

    def take(self, carrier: bool, *, patient: bool) -> None:
        """How it is now. patient: whether an interruption may be short."""
        if carrier:
            self._stop_timer()
            self.carrier = self.linked = True
            return
        if self.carrier:
            self.carrier, self._away_since = False, time.monotonic()
        if self.linked:
            self._judge(patient=patient)

    def _judge(self, *, patient: bool = True) -> None:
        self._stop_timer()
        now, replugged = time.monotonic(), self._replugged()
        ago = None if replugged is None else now - replugged
        left = life.patience(away=now - self._away_since, grace=self._grace, replugged=ago)
        if patient and left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._judge)
        else:
            self.linked = False
            self._pulled()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
