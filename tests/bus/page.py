"""The page's server as it is, on a loopback address; agent and watcher do as a test tells them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web
from dbus_fast import Message
from dbus_fast.service import ServiceInterface

from tests.lab.host import wait_until
from tundev import contract
from tundev.contract import Key, PortKey, PortState
from tundev.states import State
from tundev.web.app import App
from tundev.web.assets import Asset
from tundev.web.page import Page
from tundev.web.places import Kind, Place
from tundev.web.service import Listeners
from tundev.web.services import AGENT
from tundev.web.settings import PageSettings
from vtunlib import bus as buses
from vtunlib.errors import NoSession, RdvError

SETTINGS = PageSettings("rpi1101")
IDLE: dict[str, Any] = {Key.ROLE: "master", Key.STATE: State.SSH_CONNECTION_OK, Key.SESSION: False}
PORT: dict[str, Any] = {
    PortKey.STATE: PortState.READY,
    PortKey.INTERFACE: "lo",
    PortKey.ADDRESS: "127.0.0.1/29",
}
UPLINK = {Key.UPLINK: "lo", Key.ADDRESS: "127.0.0.2/24"}
ASSETS = {
    "index.html": Asset(b"<!DOCTYPE html>", "text/html", "1"),
    "app.js": Asset(b"0", "text/javascript", "2"),
}
DEADLINE = 10.0


class FakeAgent(ServiceInterface):
    """org.rdv.MasterDev1 on a connection of its own."""

    def __init__(self) -> None:
        self.state = dict(IDLE)
        self.rows: list[dict[str, Any]] = [{"id": "rpi1100", "label": "Straße"}]
        self.asked: list[tuple[str, list[Any]]] = []
        self.steps: list[str] = []
        """What a Connect tells before it ends."""
        self.outcome: RdvError | None = None
        self.going_on = asyncio.Event()
        """Cleared, a Connect waits."""
        self.going_on.set()
        self.left = asyncio.Event()
        """A Disconnect has come."""
        super().__init__(AGENT.interface)

    async def start(self) -> None:
        self.bus = await buses.connect()
        self.bus.export(AGENT.path, self)
        await buses.own(self.bus, AGENT.name)

    def stop(self) -> None:
        self.bus.disconnect()

    def signal(self, member: str, signature: str = "", *body: Any) -> None:
        self.bus.send(Message.new_signal(AGENT.path, AGENT.interface, member, signature, list(body)))

    def tell(self, changes: Mapping[Any, Any] | None = None, **more: Any) -> None:
        """A new Status."""
        self.state |= dict(changes or {}) | more
        self.signal(contract.STATUS_CHANGED, "a{sv}", buses.variants(self.state))

    @buses.answers(contract.STATUS)
    @buses.annotated("a{sv}")
    def status(self):  # type: ignore[no-untyped-def]
        self.asked.append((contract.STATUS, []))
        return buses.variants(self.state)

    @buses.answers(contract.LIST_ONSITES)
    @buses.annotated("aa{sv}")
    def list_onsites(self):  # type: ignore[no-untyped-def]
        self.asked.append((contract.LIST_ONSITES, []))
        return [buses.variants(row) for row in self.rows]

    @buses.answers(contract.CONNECT)
    @buses.annotated("a{sv}", onsite="s", mode="s", reason="s", seconds="u", patience="u")
    async def connect(self, onsite, mode, reason, seconds, patience):  # type: ignore[no-untyped-def]
        self.asked.append((contract.CONNECT, [onsite, mode, reason, seconds, patience]))
        for text in self.steps:
            self.signal(contract.STEP, "s", text)
        await self.going_on.wait()
        if self.outcome is not None:
            raise self.outcome
        return buses.variants(self.state)

    @buses.answers(contract.DISCONNECT)
    @buses.annotated("")
    def disconnect(self):  # type: ignore[no-untyped-def]
        self.asked.append((contract.DISCONNECT, []))
        self.left.set()
        if not self.state[Key.SESSION]:
            raise NoSession("there is no session")


class FakeWatcher(ServiceInterface):
    """org.rdv.SecondaryIfWatcher1 on a connection of its own."""

    def __init__(self) -> None:
        self.state = dict(PORT)
        super().__init__(contract.WATCHER.interface)

    async def start(self) -> None:
        self.bus = await buses.connect()
        self.bus.export(contract.WATCHER.path, self)
        await buses.own(self.bus, contract.WATCHER.name)

    def tell(self, changes: Mapping[Any, Any] | None = None, **more: Any) -> None:
        """A new GetInterface; None takes a key away."""
        values = self.state | dict(changes or {}) | more
        self.state = {key: value for key, value in values.items() if value is not None}
        service = contract.WATCHER
        body = [buses.variants(self.state)]
        self.bus.send(
            Message.new_signal(service.path, service.interface, contract.PORT_CHANGED, "a{sv}", body)
        )

    @buses.answers(contract.GET_INTERFACE)
    @buses.annotated("a{sv}")
    def get_interface(self):  # type: ignore[no-untyped-def]
        return buses.variants(self.state)


class Server:
    """The page's server, as masterdev-web.service composes it, on ports that are free."""

    page: Page
    listeners: Listeners

    def __init__(self, settings: PageSettings) -> None:
        self.settings = settings
        self.agent, self.watcher = FakeAgent(), FakeWatcher()
        self.settled: list[str] = []
        """What `systemctl status` says, one after the other."""
        self.named: list[Place | None] = []
        """Where master.local was to lead, one after the other."""

    async def at(self, kind: Kind = Kind.PORT) -> str:
        """The page's address in that place, as soon as it is there."""
        await self.until(lambda: kind in self.listeners.open)
        listener = self.listeners.open[kind]
        return f"http://{listener.place.address}:{listener.port}"

    def address(self, kind: Kind) -> str | None:
        """Where the page listens in that place."""
        listener = self.listeners.open.get(kind)
        return str(listener.place.address) if listener else None

    def readers(self) -> int:
        """How many look at it."""
        return len(self.page.stream._readers)

    async def until(self, condition: Callable[[], object]) -> None:
        """Until it holds."""
        await asyncio.to_thread(wait_until, condition, what="what the test waits for", every=0.02)


@contextlib.asynccontextmanager
async def serving(
    settings: PageSettings = SETTINGS,
    *,
    agent: bool = True,
    watcher: bool = True,
    assets: Mapping[str, Asset] = ASSETS,
    port: int = 0,
) -> AsyncIterator[Server]:
    """The server, and the services that are wanted. port: 0 for any that is free."""
    server = Server(settings)
    if agent:
        await server.agent.start()
    if watcher:
        await server.watcher.start()
    bus = await buses.connect()
    page = server.page = Page(bus, settings)
    runner = web.AppRunner(App(page, assets).application(), handle_signals=False)
    await runner.setup()
    assert runner.server is not None
    told = (server.named.append, server.settled.append)
    server.listeners = Listeners(page, runner.server, *told, port=port)
    work = [asyncio.create_task(page.stream.run()), asyncio.create_task(server.listeners.run())]
    try:
        await page.services.start()
        yield server
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await runner.cleanup()
        for one in (bus, getattr(server.agent, "bus", None), getattr(server.watcher, "bus", None)):
            if one is not None:
                one.disconnect()


class Visitor:
    """A browser that has the page open."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url
        self.csrf = ""

    async def enter(self) -> dict[str, Any]:
        """Ask who it is, and keep the token."""
        async with self.http.get(f"{self.url}/api/session") as answer:
            return self._keep(await answer.json())

    def _keep(self, told: dict[str, Any]) -> dict[str, Any]:
        self.csrf = told["csrf"]
        return told

    async def login(self, pin: str) -> tuple[int, dict[str, Any]]:
        status, told = await self.post("login", {"pin": pin})
        if status == 200:
            self._keep(told)
        return status, told

    async def post(
        self,
        what: str,
        values: object = None,
        data: bytes | None = None,
        headers: dict[str, str | None] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """As the page does, except for these headers; None leaves one out."""
        sent: dict[str, str | None] = {"Content-Type": "application/json", "X-CSRF": self.csrf}
        sent |= headers or {}
        body = json.dumps(values if values is not None else {}).encode() if data is None else data
        asked = {name: value for name, value in sent.items() if value is not None}
        async with self.http.post(f"{self.url}/api/{what}", data=body, headers=asked) as answer:
            return answer.status, json.loads(await answer.read() or b"{}")

    async def state(self) -> dict[str, Any]:
        async with self.http.get(f"{self.url}/api/state") as answer:
            told: dict[str, Any] = await answer.json()
            return told

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncIterator[Events]:
        """The stream, open meanwhile."""
        async with self.http.get(f"{self.url}/api/events") as answer:
            assert answer.status == 200, await answer.text()
            yield Events(answer)


class Events:
    """What an EventSource gets."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> tuple[str, Any]:
        """The next event's name and data; comments are passed over. Raises EOFError at the end."""
        name = ""
        async with asyncio.timeout(DEADLINE):
            while line := (await self.answer.content.readline()).decode():
                field, _, value = line.rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    return name, json.loads(value)
        raise EOFError

    async def until(self, name: str, holds: Any = lambda _: True) -> Any:
        """The data of the next event of that name for which it holds."""
        while True:
            got, data = await self.next()
            if got == name and holds(data):
                return data


@contextlib.asynccontextmanager
async def visiting(server: Server, kind: Kind = Kind.PORT) -> AsyncIterator[Visitor]:
    """A browser on the laptop, or on the support desk's LAN."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE, sock_read=DEADLINE)
    jar = aiohttp.CookieJar(unsafe=True)  # that is: also of addresses
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=timeout, read_bufsize=2**22) as http:
        visitor = Visitor(http, await server.at(kind))
        await visitor.enter()
        yield visitor
