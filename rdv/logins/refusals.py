"""Why sshd did not let somebody in, as far as the audit knows the device or the key.

sshd says only whose login failed with which key. What became of that key is in the
audit: it was used, replaced, has expired, is of a device that was removed. Who is not
in it is a stranger, of whom a public server has thousands a day: they are counted.
"""

from __future__ import annotations

import asyncio
import datetime
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rdv.audit.events import Event, Kind, Record
from rdv.audit.store import Store
from rdv.logins.login_lines import Refused, Stranger
from rdv.logins.origins import Origin
from vtunlib.errors import RdvError

HISTORY = (
    *(Kind.DEVICE_ADDED, Kind.DEVICE_REMOVED, Kind.DEVICE_DISABLED, Kind.DEVICE_ENABLED),
    *(Kind.KEY_SET, Kind.BUNDLE_ISSUED, Kind.ENROLLED),
)
"""What decides who may log in."""
HISTORY_LIMIT = 1000
"""Events of one device: hundreds of enrolments."""

HOLD_SECONDS = 5.0
"""How long a key that is not known may become this device's: each tries its own before it enrols."""
REPEAT_SECONDS = 3600.0
"""The same account, key and address again within that time is only counted."""
ROOM = 1000
"""Refusals that are remembered, and that may be looked up at a time."""

UNKNOWN = "a key that is not this device's"
ITS_KEY = "its key"
"""It is good, as far as the audit knows: the admin has changed the file by hand, perhaps."""


def why(history: Sequence[Event], fingerprint: str, now: datetime.datetime) -> str:
    """Why that key did not open the account; empty for a stranger.

    history: of the account, oldest first. fingerprint: empty where sshd has no such account.
    """
    if not history:
        return ""
    key = _about_key(history, fingerprint, now) if fingerprint else "there is no such account"
    for event in reversed(history):
        if event.kind is Kind.DEVICE_REMOVED:
            return f"the device was removed on {_day(event)}" + (f"; {key}" if fingerprint else "")
        if event.kind is Kind.DEVICE_DISABLED:
            return f"the device is disabled since {_day(event)}; {key}"
        if event.kind in (Kind.DEVICE_ADDED, Kind.DEVICE_ENABLED):
            break
    return key


def _about_key(history: Sequence[Event], fingerprint: str, now: datetime.datetime) -> str:
    own = _last(history, {Kind.ENROLLED, Kind.KEY_SET}, fingerprint)
    issued = _last(history, {Kind.BUNDLE_ISSUED}, fingerprint)
    if issued is not None:
        return _about_one_time_key(history, issued, fingerprint, now)
    if own is None:
        return UNKNOWN
    for event in history[history.index(own) + 1 :]:
        if event.kind in (Kind.ENROLLED, Kind.KEY_SET):
            return f"its former key, replaced on {_day(event)}"
        if event.kind is Kind.BUNDLE_ISSUED and event.more.get("cut_off"):
            return f"its former key, cut off on {_day(event)}"
        if event.kind is Kind.DEVICE_REMOVED:
            return f"its former key, removed on {_day(event)}"
    return ITS_KEY


def _about_one_time_key(
    history: Sequence[Event], issued: Event, fingerprint: str, now: datetime.datetime
) -> str:
    for event in history[history.index(issued) + 1 :]:
        if event.kind is Kind.ENROLLED and event.more.get("one_time") == fingerprint:
            return f"a one-time key that was used already, on {_day(event)}"
        if event.kind is Kind.BUNDLE_ISSUED:
            return f"a one-time key that a newer bundle replaced on {_day(event)}"
        if event.kind in (Kind.KEY_SET, Kind.ENROLLED):
            return f"a one-time key that was replaced by another key on {_day(event)}"
    until = _instant(issued.more.get("valid_until"))
    if until is not None and until <= now:
        return f"a one-time key that expired on {until:%Y-%m-%d %H:%M} UTC"
    return "its one-time key"


def _last(history: Sequence[Event], kinds: set[Kind], fingerprint: str) -> Event | None:
    for event in reversed(history):
        if event.kind in kinds and event.more.get("fingerprint") == fingerprint:
            return event
    return None


def _day(event: Event) -> str:
    return f"{event.at.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _instant(text: object) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(str(text))
    except ValueError:
        return None


@dataclass
class _Repeated:
    since: float
    times: int = 1


class Repeats:
    """Which refusals are the same ones again. Pure but for the instants that it is given."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._seen: OrderedDict[tuple[str, str, str], _Repeated] = OrderedDict()

    def times(self, what: tuple[str, str, str], now: float) -> int:
        """How many there were since it was last told, this one included; 0 where it is not to be told yet.

        now: seconds, monotonic.
        """
        known = self._seen.get(what)
        if known is None:
            self._seen[what] = _Repeated(now, 0)
            if len(self._seen) > self._room:
                self._seen.popitem(last=False)
            return 1
        known.times += 1
        if now - known.since < REPEAT_SECONDS:
            return 0
        times, known.since, known.times = known.times, now, 0
        self._seen.move_to_end(what)
        return times


Where = Callable[[str, int], Awaitable[Origin]]
"""From where a connection came that sshd has from that address and port (rdv.logins.origins)."""
Ask = Callable[[Callable[[Store], list[Event]]], Awaitable[list[Event]]]
"""Puts a question to the audit's store (rdv.audit.writer)."""


class Refusals:
    """Tells the audit of the refusals that are about a device. strangers: how many were about none."""

    def __init__(self, where: Where, ask: Ask, record: Record, *, hold: float = HOLD_SECONDS) -> None:
        self._where = where
        self._ask = ask
        self._record = record
        self._hold = hold
        self._repeats = Repeats()
        self._running: set[asyncio.Task[None]] = set()
        self.strangers = 0

    def hear(self, line: Refused | Stranger) -> None:
        """sshd has refused this."""
        # In a flood nobody is looked up; of a device the next refusal will be told.
        if isinstance(line, Stranger) or len(self._running) >= ROOM:
            self.strangers += 1
            return
        task = asyncio.get_running_loop().create_task(self._look_into(line))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def close(self) -> None:
        """What is not looked into yet is not any more."""
        for task in self._running:
            task.cancel()

    async def _look_into(self, line: Refused) -> None:
        at = datetime.datetime.now(datetime.UTC)
        try:
            history = await self._history(line.account)
            reason = why(history, line.fingerprint, at)
            if reason == UNKNOWN:
                # Not a wait for something to be ready: only time tells that nobody enrols with it.
                await asyncio.sleep(self._hold)
                history = await self._history(line.account)
            own = _last(history, {Kind.ENROLLED, Kind.KEY_SET}, line.fingerprint)
            edge = at - datetime.timedelta(seconds=self._hold)
            if reason in (UNKNOWN, ITS_KEY) and own is not None and own.at > edge:
                return  # its own key, which became this device's only after it was tried
        except RdvError:
            return  # the audit cannot be read; its keeper says so
        if not reason:
            self.strangers += 1
            return
        origin = await self._where(line.address, line.port)
        what = (line.account, line.fingerprint, origin.address)
        times = self._repeats.times(what, asyncio.get_running_loop().time())
        if times:
            more: dict[str, Any] = {"why": reason}
            more |= {"fingerprint": line.fingerprint} if line.fingerprint else {}
            more |= {"address": origin.address, "transport": str(origin.transport)}
            more |= {"times": times} if times > 1 else {}
            self._record(Event(Kind.REFUSED, line.account, more=more, at=at))

    async def _history(self, account: str) -> list[Event]:
        return await self._ask(
            lambda store: list(store.read(device=account, kinds=HISTORY, limit=HISTORY_LIMIT))
        )
