"""The page's real server at a desk of two namespaces, where agent and watcher do as a test tells them.

For what the real ones do not do at will: a particular failure, five hundred sites, a hostile name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, Queue
from typing import Any, TypeVar

from tests.bus.page import IDLE, PORT, Server, serving
from tests.lab.clean import clean
from tests.lab.debian import REPOSITORY
from tests.lab.host import Host, wire
from tests.lab.place import Place
from tundev import contract
from tundev.contract import Key, PortKey
from tundev.states import State
from tundev.web import assets
from tundev.web.guard import HTTP_PORT
from tundev.web.settings import PageSettings
from vtunlib.errors import RdvError
from vtunlib.namespace import inside

FILES = REPOSITORY / "rootfs-overlay/master/usr/share/tundev/web"
ADAPTER = "enxa0cec8012345"
UPLINK = "eth0"
ADDRESS, MOVED, UPLINK_ADDRESS = "192.168.38.225", "192.168.38.233", "192.168.7.20"
URL, MOVED_URL, UPLINK_URL = (f"http://{address}/" for address in (ADDRESS, MOVED, UPLINK_ADDRESS))
DEADLINE = 20.0

READY = PORT | {
    PortKey.INTERFACE: ADAPTER,
    PortKey.ADDRESS: f"{ADDRESS}/29",
    PortKey.DRIVER: "r8152",
    PortKey.PRODUCT: "Realtek USB 10/100/1000 LAN",
    PortKey.LEASE: "192.168.38.226",
    PortKey.LAPTOP: "anna-thinkpad",
}
ONLINE = IDLE | {
    Key.ACCOUNT: "rpi1201",
    Key.SERVER: "rdv.example.com:2222",
    Key.TRANSPORT: "ssh",
    Key.UPLINK: UPLINK,
    Key.ADDRESS: f"{UPLINK_ADDRESS}/24",
}

T = TypeVar("T")


class Desk:
    """A master's namespace and the laptop's: the adapter's cable between them, and one to the support LAN."""

    def __init__(self, place: Place) -> None:
        self.master = Host(place, "master")
        self.laptop = Host(place, "laptop")

    def create(self) -> None:
        """The laptop has an address on both cables, and one more for when the page moves."""
        for host in (self.master, self.laptop):
            host.create()
        wire(self.laptop, "eth0", self.master, ADAPTER)
        wire(self.laptop, "eth1", self.master, UPLINK)
        self.master.ip(
            f"addr add {ADDRESS}/29 dev {ADAPTER}",
            f"addr add {MOVED}/29 dev {ADAPTER}",
            f"addr add {UPLINK_ADDRESS}/24 dev {UPLINK}",
        )
        self.laptop.ip(
            "addr add 192.168.38.226/29 dev eth0",
            "addr add 192.168.38.234/29 dev eth0",
            "addr add 192.168.7.60/24 dev eth1",
        )


@contextmanager
def desk(lab: str) -> Iterator[Desk]:
    """As long as the block; lab: whose names it takes."""
    with Place(lab) as place:
        clean(place)
        place.mount()
        made = Desk(place)
        made.create()
        try:
            yield made
        finally:
            for host in (made.laptop, made.master):
                host.end_programs()
            clean(place)


class Stage:
    """The server, agent and watcher, on a loop of their own in the master's namespace."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.over = asyncio.Event()
        self._server = server
        self._loop = loop

    def end(self) -> None:
        """The server ends."""
        self._do(self.over.set)

    def _do(self, act: Callable[[], T]) -> T:
        async def there() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(DEADLINE)

    def agent(self, **changes: Any) -> None:
        """A new Status; None takes a key away."""
        agent = self._server.agent

        def tell() -> None:
            gone = [key for key, value in changes.items() if value is None]
            agent.state = {key: value for key, value in agent.state.items() if key not in gone}
            agent.tell(**{key: value for key, value in changes.items() if value is not None})

        self._do(tell)

    def port(self, **changes: Any) -> None:
        """A new GetInterface; None takes a key away."""
        self._do(lambda: self._server.watcher.tell(**changes))

    def onsites(self, *rows: dict[str, Any]) -> None:
        """A new list."""
        agent = self._server.agent

        def tell() -> None:
            agent.rows = list(rows)
            agent.signal(contract.ONSITES_CHANGED)

        self._do(tell)

    def step(self, *texts: str) -> None:
        """Steps of the Connect that is under way."""
        for text in texts:
            self._do(lambda text=text: self._server.agent.signal(contract.STEP, "s", text))  # type: ignore[misc]

    def hold(self, *steps: str) -> None:
        """The next Connect tells these steps, and waits."""
        agent = self._server.agent

        def hold() -> None:
            agent.steps, agent.outcome = list(steps), None
            agent.going_on.clear()

        self._do(hold)

    def release(self, outcome: RdvError | None = None) -> None:
        """The Connect that waits ends so."""
        agent = self._server.agent

        def release() -> None:
            agent.outcome = outcome
            agent.going_on.set()

        self._do(release)

    def session(self, **changes: Any) -> None:
        """A session is up."""
        up = {Key.SESSION: True, Key.STATE: State.SESSION_OK, Key.STEP: None}
        self.agent(**{str(key): value for key, value in up.items()} | changes)

    def asked(self, member: str) -> list[list[Any]]:
        """The arguments of each such call that the agent got."""
        return self._do(lambda: [words for called, words in self._server.agent.asked if called == member])


@contextmanager
def stage(netns: str, settings: PageSettings) -> Iterator[Stage]:
    """The server in that namespace, on the bus that the environment names."""
    ready: Queue[Stage] = Queue()

    async def run() -> None:
        async with serving(settings, assets=assets.load(FILES), port=HTTP_PORT) as server:
            made = Stage(server, asyncio.get_running_loop())
            server.agent.state, server.watcher.state = dict(ONLINE), dict(READY)
            server.agent.tell()
            server.watcher.tell()
            await server.at()
            ready.put(made)
            await made.over.wait()

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(lambda: inside(netns, lambda: asyncio.run(run())))
        try:
            made = ready.get(timeout=DEADLINE)
        except Empty:
            running.result(0)
            raise
        try:
            yield made
        finally:
            made.end()
            running.result(DEADLINE)
