"""The master's page as a program on some host of the lab asks for it, and mDNS questions from there."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zeroconf import DNSAddress, DNSIncoming, DNSOutgoing, DNSQuestion  # type: ignore[attr-defined]

from tests.lab.host import Host
from tests.lab.process import LabError
from vtunlib.namespace import inside

DEADLINE = 30.0
_MDNS = ("224.0.0.251", 5353)
_QUERY, _A, _AAAA, _IN = 0, 1, 28, 1
"""RFC 1035."""


class Browser:
    """On `host`, at the page of that address: a cookie, and the token that goes with it."""

    def __init__(self, host: Host, address: str) -> None:
        self.host = host
        self.address = address
        self._cookie = ""
        self._token = ""

    def ask(self, method: str, path: str, values: object = None) -> tuple[int, Any]:
        """Status and body, parsed where it is JSON. Raises OSError where nobody answers."""
        with self._connected() as connection:
            body = None if values is None else json.dumps(values)
            connection.request(method, path, body, self._headers())
            answer = connection.getresponse()
            if cookie := answer.headers.get("Set-Cookie"):
                self._cookie = cookie.partition(";")[0]
            text = answer.read().decode()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.loads(text) if is_json else text

    def enter(self) -> dict[str, Any]:
        """The session, as the page asks for it first."""
        return self._keep(*self.ask("GET", "/api/session"))

    def login(self, pin: str) -> int:
        """The status of giving this PIN."""
        status, told = self.ask("POST", "/api/login", {"pin": pin})
        if status == http.client.OK:
            self._keep(status, told)
        return status

    def state(self) -> dict[str, Any]:
        """The whole state."""
        status, told = self.ask("GET", "/api/state")
        if status != http.client.OK:
            raise LabError(f"the page answers {status}: {told}")
        state: dict[str, Any] = told
        return state

    @contextmanager
    def events(self) -> Iterator[Callable[[str, Callable[[Any], object]], Any]]:
        """The stream; what is yielded waits for an event of that name for which the condition holds."""
        with self._connected() as connection:
            connection.request("GET", "/api/events", None, self._headers())
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise LabError(f"the page answers {answer.status}: {answer.read().decode()}")

            def until(name: str, holds: Callable[[Any], object]) -> Any:
                told, give_up = "", time.monotonic() + DEADLINE
                for line in answer:
                    # The stream's signs of life come for ever.
                    if time.monotonic() > give_up:
                        raise LabError(f"no such {name} within {DEADLINE:g} s")
                    field, _, value = line.decode().rstrip("\n").partition(": ")
                    if field == "event":
                        told = value
                    elif field == "data" and told == name and holds(json.loads(value)):
                        return json.loads(value)
                raise LabError(f"the stream ended without {name}")

            yield until

    def _keep(self, status: int, told: Any) -> dict[str, Any]:
        if status != http.client.OK:
            raise LabError(f"the page answers {status}: {told}")
        self._token = told["csrf"]
        session: dict[str, Any] = told
        return session

    def _headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Cookie": self._cookie, "X-CSRF": self._token}

    @contextmanager
    def _connected(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection(self.address)
        connection.sock = inside(self.host.netns, socket.create_connection, (self.address, 80), 5.0)
        connection.sock.settimeout(DEADLINE)
        try:
            yield connection
        finally:
            connection.close()


def answers(netns: str, address: str) -> bool:
    """Whether something takes a connection from that namespace to port 80 of the address."""
    try:
        inside(netns, socket.create_connection, (address, 80), 2.0).close()
    except OSError:
        return False
    return True


def resolve(netns: str, own: str, *, at: str | None = None, patience: float = 5.0) -> list[str]:
    """The addresses of master.local by multicast DNS, asked from the namespace's own address.

    at: asked of this address alone instead. Empty where nobody answers in so many seconds.
    """
    question = DNSOutgoing(_QUERY)
    for kind in (_A, _AAAA):
        question.add_question(DNSQuestion("master.local.", kind, _IN))
    with inside(netns, socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(patience)
        asking.bind((own, 0))
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
        asking.sendto(question.packets()[0], (at, 5353) if at else _MDNS)
        try:
            answer = DNSIncoming(asking.recv(9000))
        except TimeoutError:
            return []
    found = [record for record in answer.answers if isinstance(record, DNSAddress)]
    return [str(socket.inet_ntop(socket.AF_INET, record.address)) for record in found]
