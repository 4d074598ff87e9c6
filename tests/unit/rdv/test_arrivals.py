"""A device's coming is told with its address, in the order in which things happened; clones are told of."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable

from rdv.audit.events import Event, Kind
from rdv.audit.store import Seen
from rdv.devices import Device
from rdv.logins.arrivals import Arrivals
from rdv.logins.clones import ALTERNATIONS
from rdv.logins.login_lines import Accepted
from rdv.logins.origins import Logins, Origin, Transport
from rdv.manager.registry import Connection
from rdv.manager.warnings import Warnings
from vtunlib.tunnel import Role

KEY = "SHA256:CEPTrbn+nbCiTUTkvCr2a7tyrk3L5bCq0YZw8LC1iAg"


class Manager:
    """What the manager has, and what it has recorded."""

    def __init__(self) -> None:
        self.recorded: list[Event] = []
        self.logins = Logins(wait=0.1)
        self.warnings = Warnings()
        self.arrivals = Arrivals(self.logins, self.recorded.append, self.warnings)
        self._pid = 100

    def login(self, address: str, *, line: bool = True, former: Connection | None = None) -> Connection:
        """A device connects; line: whether the journal tells of it."""
        self._pid += 1
        if line:
            self.logins.hear(Accepted(self._pid, "rpi1100", address, 40112, KEY))
        connection = Connection(Device("rpi1100", Role.ONSITE), 1000, ":1.5", self._pid)
        self.arrivals.came(connection, [self._pid], [Event(Kind.ONLINE, "rpi1100")], former)
        return connection

    async def settled(self) -> None:
        """Until nothing is under way any more."""
        await asyncio.gather(*self.arrivals._running)


def run(work: Callable[[Manager], Awaitable[None]]) -> Manager:
    """The manager after `work`, with nothing under way any more."""

    async def worked() -> Manager:
        manager = Manager()
        await work(manager)
        await manager.settled()
        manager.arrivals.close()
        return manager

    return asyncio.run(worked())


def test_a_coming_is_told_with_address_and_transport() -> None:
    async def work(manager: Manager) -> None:
        connection = manager.login("203.0.113.21")
        await manager.settled()
        assert connection.origin == Origin("203.0.113.21", Transport.SSH)

    (event,) = run(work).recorded
    assert event.more == {"address": "203.0.113.21", "transport": "ssh"}


def test_without_the_journal_s_line_it_is_told_without_an_address() -> None:
    async def work(manager: Manager) -> None:
        manager.login("203.0.113.21", line=False)

    (event,) = run(work).recorded
    assert event.kind is Kind.ONLINE and event.more == {}


def test_it_is_told_before_its_going() -> None:
    async def work(manager: Manager) -> None:
        connection = manager.login("203.0.113.21", line=False)
        manager.arrivals.gone(connection)
        manager.recorded.append(Event(Kind.OFFLINE, "rpi1100"))

    assert [event.kind for event in run(work).recorded] == [Kind.ONLINE, Kind.OFFLINE]


def test_who_is_still_connected_after_a_restart_has_come_from_where_it_had() -> None:
    async def work(manager: Manager) -> None:
        manager.arrivals.recall(
            {"rpi1100": Seen(True, datetime.datetime.now(datetime.UTC), "192.0.2.1", "x-1", "tls")}
        )
        connection = Connection(Device("rpi1100", Role.ONSITE), 1000, ":1.5", 1)
        manager.arrivals.came(connection, [1], [], None)
        assert connection.origin == Origin("192.0.2.1", Transport.TLS)

    assert run(work).recorded == []


def test_two_places_in_turn_are_reported_and_warned_of_until_the_device_has_a_new_bundle() -> None:
    async def work(manager: Manager) -> None:
        former = manager.login("192.0.2.1")
        for number in range(ALTERNATIONS):
            await manager.settled()
            former = manager.login(("198.51.100.7", "192.0.2.1")[number % 2], former=former)

    manager = run(work)
    (clone,) = [event for event in manager.recorded if event.kind is Kind.CLONE]
    assert clone.device == "rpi1100"
    assert clone.more == {"addresses": ["192.0.2.1", "198.51.100.7"]}
    (warning,) = manager.warnings
    assert warning.key == "clone rpi1100"
    assert "192.0.2.1 and 198.51.100.7" in warning.text and "re-enrol rpi1100 --now" in warning.text
    manager.arrivals.hear(Event(Kind.BUNDLE_ISSUED, "rpi1100"))
    assert list(manager.warnings) == []
