"""From where each device is logged in: what sshd and stunnel have said, put together.

Behind stunnel sshd sees this host; stunnel tells from where that connection came, by
the port that both of them see. It reads no journal itself (rdv.logins.login_journal), and
keeps no more than it has room for: the oldest goes.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from rdv.logins.login_lines import Accepted, Line, Refused, Stranger, TlsCame, TlsWentOn

ROOM = 8192
"""Logins and TLS connections that are remembered: more than come in while any is waited for."""
WAIT_SECONDS = 3.0
"""How long a line of the journal may come after what it is about."""

K = TypeVar("K")
V = TypeVar("V")


class Transport(StrEnum):
    """How a device's connection travels."""

    SSH = "ssh"
    TLS = "tls"


@dataclass(frozen=True)
class Origin:
    """From where a device has come, and how."""

    address: str
    transport: Transport


class Remembered(Generic[K, V]):
    """The newest value of each key; who waits for one is told when it comes."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._values: OrderedDict[K, V] = OrderedDict()
        self._waiting: dict[K, list[asyncio.Future[V]]] = {}

    def put(self, key: K, value: V) -> None:
        """Remember it, as the newest."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._room:
            self._values.popitem(last=False)
        for future in self._waiting.pop(key, []):
            if not future.done():
                future.set_result(value)

    def get(self, key: K) -> V | None:
        """The value, if there is one yet."""
        return self._values.get(key)

    async def wait(self, keys: Sequence[K], seconds: float) -> V | None:
        """The value of the first of these keys that has one, or gets one; None after `seconds`."""
        for key in keys:
            if (known := self._values.get(key)) is not None:
                return known
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        for key in keys:
            self._waiting.setdefault(key, []).append(future)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            for key in keys:
                waiting = self._waiting.get(key, [])
                with suppress(ValueError):
                    waiting.remove(future)
                if not waiting:
                    self._waiting.pop(key, None)


class Logins:
    """What the journal's lines say. refused: is told of each login that sshd has refused."""

    def __init__(self, *, wait: float = WAIT_SECONDS) -> None:
        self.refused: Callable[[Refused | Stranger], None] | None = None
        self._wait = wait
        self._accepted: Remembered[int, Accepted] = Remembered()
        self._tls_came: Remembered[int, str] = Remembered()
        self._tls: Remembered[int, str] = Remembered()
        """By the port from which stunnel dials sshd: from where that connection came."""

    def hear(self, line: Line) -> None:
        """A line of the journal, in their order."""
        match line:
            case Accepted():
                self._accepted.put(line.pid, line)
            case Refused() | Stranger():
                if self.refused is not None:
                    self.refused(line)
            case TlsCame():
                self._tls_came.put(line.number, line.address)
            case TlsWentOn():
                if (address := self._tls_came.get(line.number)) is not None:
                    self._tls.put(line.port, address)

    async def of(self, pids: Sequence[int], account: str) -> Origin | None:
        """From where the login came to which these processes belong; None where that is not told in time.

        pids: of a process of the device and of its parents.
        """
        login = await self._accepted.wait(pids, self._wait)
        if login is None or login.account != account:
            return None
        return await self.origin(login.address, login.port)

    async def origin(self, address: str, port: int) -> Origin:
        """From where a connection came that sshd has from there."""
        if not _is_loopback(address):
            return Origin(address, Transport.SSH)
        behind = await self._tls.wait([port], self._wait)
        # Not by stunnel: somebody on this very host.
        return Origin(address, Transport.SSH) if behind is None else Origin(behind, Transport.TLS)


def _is_loopback(address: str) -> bool:
    return bool(address) and ipaddress.ip_address(address).is_loopback
