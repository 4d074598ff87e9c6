"""Who comes online from where, as the audit is told and the admin is shown it; and who comes twice.

The journal's line about a login may be read only after the device is attached: its
coming is told to the audit as soon as the line is there, or without an address when it
does not come. What happens to the device meanwhile is told after its coming.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from rdv.audit.events import Event, Kind, Record
from rdv.audit.store import Seen
from rdv.logins.clones import QUIET, Takeover, Takeovers
from rdv.logins.origins import Logins, Origin, Transport
from rdv.manager.registry import Connection
from rdv.manager.warnings import Warnings


class Arrivals:
    """Tells `record` of each coming. Its methods are to be called in the running loop."""

    def __init__(self, logins: Logins, record: Record, warnings: Warnings) -> None:
        self._logins = logins
        self._record = record
        self._warnings = warnings
        self._seen: Mapping[str, Seen] = {}
        self._untold: dict[str, list[Event]] = {}
        """By handle of a connection: its coming, until its origin is known."""
        self._takeovers: dict[str, Takeovers] = {}
        self._running: set[asyncio.Task[None]] = set()

    def recall(self, seen: Mapping[str, Seen]) -> None:
        """What the audit had when this manager started: who is still connected has come from there."""
        self._seen = seen

    def came(
        self, connection: Connection, pids: Sequence[int], events: list[Event], former: Connection | None
    ) -> None:
        """The device is attached.

        pids: of its relay and of that one's parents. events: what the audit is to be told,
        nothing where it is the connection of before. former: whose place it took.
        """
        if not events:
            connection.origin = _recalled(self._seen.get(connection.account))
            return
        self._untold[connection.handle] = events
        task = asyncio.get_running_loop().create_task(self._find(connection, pids, former))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def gone(self, connection: Connection) -> None:
        """The connection is over: whatever is untold of its coming is told now."""
        self._tell(connection)

    def hear(self, event: Event) -> None:
        """Something was recorded: a device with another key is no clone any more."""
        if event.kind in (Kind.ENROLLED, Kind.KEY_SET, Kind.BUNDLE_ISSUED, Kind.DEVICE_REMOVED):
            if takeovers := self._takeovers.pop(event.device, None):
                takeovers.forget()
            self._warnings.clear(_warning(event.device))

    def close(self) -> None:
        """Tell what is untold."""
        for task in self._running:
            task.cancel()
        for handle in list(self._untold):
            self._tell_events(self._untold.pop(handle), None)

    async def _find(self, connection: Connection, pids: Sequence[int], former: Connection | None) -> None:
        connection.origin = await self._logins.of(pids, connection.account)
        self._tell(connection)
        if former is not None:
            self._taken_over(connection, former)

    def _tell(self, connection: Connection) -> None:
        self._tell_events(self._untold.pop(connection.handle, []), connection.origin)

    def _tell_events(self, events: list[Event], origin: Origin | None) -> None:
        for event in events:
            if event.kind is Kind.ONLINE and origin is not None:
                known = {"address": origin.address, "transport": str(origin.transport)}
                self._record(dataclasses.replace(event, more={**event.more, **known}))
            else:
                self._record(event)

    def _taken_over(self, connection: Connection, former: Connection) -> None:
        account = connection.account
        takeovers = self._takeovers.setdefault(account, Takeovers())
        addresses = takeovers.add(Takeover(connection.since, _address(former), _address(connection)))
        if addresses:
            self._record(Event(Kind.CLONE, account, more={"addresses": list(addresses)}))
            places = " and ".join(addresses) or "an unknown address"
            self._warnings.set(
                _warning(account),
                f"two devices use the identity of {account} in turn, from {places}; "
                f"'rdv-admin device re-enrol {account} --now' lets neither in until one has its new bundle",
            )
        if takeovers.reported:
            asyncio.get_running_loop().call_later(QUIET.total_seconds() + 1, self._look_whether_over, account)

    def _look_whether_over(self, account: str) -> None:
        takeovers = self._takeovers.get(account)
        if takeovers is not None and takeovers.over(datetime.datetime.now(datetime.UTC)):
            del self._takeovers[account]
            self._warnings.clear(_warning(account))


def _warning(account: str) -> str:
    return f"clone {account}"


def _address(connection: Connection) -> str:
    return connection.origin.address if connection.origin else ""


def _recalled(seen: Seen | None) -> Origin | None:
    if seen is None or not seen.address:
        return None
    transport = Transport.TLS if seen.transport == Transport.TLS else Transport.SSH
    return Origin(seen.address, transport)
