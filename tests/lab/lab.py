"""The whole lab: builds a topology, installs and configures the product in it, and takes it down.

    with Lab(topology(sites=2)) as lab:
        lab.up()
        lab.laptop.dhcp()
        lab.laptop.fetch("http://192.168.1.50/")

`up` is the steps `install`, `build`, `start_rdv`, `add_devices`, `start_devices` and
`wait_online`, which the demo calls one by one.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Interface
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

from rdv import contract as manager
from tests.lab import adapter as adapters
from tests.lab import config
from tests.lab.adapter import Adapter
from tests.lab.base import base_root
from tests.lab.clean import clean
from tests.lab.customer import Camera
from tests.lab.host import Host, Runs, Switch, wait_until
from tests.lab.laptop import INTERFACE, Laptop
from tests.lab.machine import Machine
from tests.lab.place import Place
from tests.lab.process import LabError
from tests.lab.roles import DIST, Role, layers
from tests.lab.router import Router
from tests.lab.snapshot import Snapshot, snapshot
from tests.lab.topology import CAMERA, RDV, Desk, Site, Topology, topology
from tundev.contract import BUS_NAMES, DISCONNECT, GET_INTERFACE, WATCHER
from vtunlib import tunnel

UPLINK = "eth0"
ONLINE_DEADLINE = 60.0
T = TypeVar("T")
R = TypeVar("R")


class Lab:
    """`packages` is where the .debs are; None boots the machines as bare Debians."""

    def __init__(
        self, plan: Topology | None = None, *, name: str = "lab", packages: Path | None = DIST
    ) -> None:
        self.plan = plan or topology()
        self.place = Place(name)
        self.packages = packages
        self.rdv: Machine
        self.spares: list[Machine] = []
        self.onsites: list[Machine] = []
        self.masters: list[Machine] = []
        self.cameras: list[Camera] = []
        self.laptops: list[Laptop] = []
        self.drawers: list[Host] = []
        self.adapters: list[Adapter] = []
        self.bystanders: list[Host] = []
        self.routers: dict[str, Router] = {}
        self.switches: dict[str, Switch] = {}
        self._layers: dict[Role, list[Path]] = {}
        self._former: Callable[[int, FrameType | None], object] | int | None = None

    def __enter__(self) -> Lab:
        self.place.lock()
        try:
            clean(self.place)  # what an interrupted lab of this name left
            self.place.mount()
            self._former = signal.signal(signal.SIGTERM, _terminated)
        except BaseException:
            self.place.unlock()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for host in self.hosts:
                host.end_programs()
            clean(self.place)
        finally:
            self.place.unlock()
            signal.signal(signal.SIGTERM, self._former or signal.SIG_DFL)

    # Who is there, by short names for the common case of one customer and one desk.

    @property
    def machines(self) -> list[Machine]:
        """The RDV, the onsites, the masters."""
        return [self.rdv, *self.onsites, *self.masters]

    @property
    def hosts(self) -> list[Host]:
        """Everything that may run programs."""
        plain: list[Host] = [*self.cameras, *self.laptops, *self.drawers, *self.bystanders]
        routers = [*self.routers.values(), *self.switches.values(), *self.spares]
        return [*plain, *routers, *(self.machines if hasattr(self, "rdv") else [])]

    @property
    def onsite(self) -> Machine:
        """The first customer's."""
        return self.onsites[0]

    @property
    def master(self) -> Machine:
        """The first desk's."""
        return self.masters[0]

    @property
    def laptop(self) -> Laptop:
        """The first desk's."""
        return self.laptops[0]

    @property
    def adapter(self) -> Adapter:
        """The first desk's."""
        return self.adapters[0]

    @property
    def camera(self) -> Camera:
        """The first customer's."""
        return self.cameras[0]

    # The steps.

    def up(self) -> None:
        """All of it, until every device is online."""
        self.install()
        self.build()
        self.start_rdv()
        self.add_devices()
        self.start_devices()
        self.wait_online()

    def install(self) -> None:
        """The roles' packages, by apt, unless the very same were installed before."""
        if self.packages is None:
            root = [base_root()]
            self._layers = dict.fromkeys(Role, root)
        else:
            self._layers = layers(self.place, set(Role), self.packages)

    def build(self) -> None:
        """All networks, routers, cameras and laptops, and the machines' roots; boots no machine."""
        internet = self._switch("internet")
        self.rdv = self._machine("rdv", Role.RDV)
        internet.plug(self.rdv, UPLINK)
        config.static_address(self.rdv, UPLINK, RDV)
        for lan in self.plan.lans:
            router = self.routers[lan.name] = Router(self.place, lan)
            router.create()
            router.connect(internet, self._switch(lan.name))
        for desk in self.plan.desks:
            self._build_desk(desk)
        for site in self.plan.sites:
            self._build_site(site)
        # Every technician's key is known to every camera.
        keys = "".join(laptop.public_key for laptop in self.laptops)
        _all_at_once(Router.serve, self.routers.values())
        _all_at_once(lambda camera: camera.serve(keys), self.cameras)

    def start_rdv(self) -> None:
        """Boot the RDV server."""
        self._boot(self.rdv)

    def add_devices(self) -> None:
        """What the admin does: an account per device, and the bundle that the device is given."""
        if self.packages is None:
            return
        for onsite, site in zip(self.onsites, self.plan.sites, strict=True):
            self.add_device(onsite, site)
        for master, desk in zip(self.masters, self.plan.desks, strict=True):
            self.add_device(master, desk)

    def add_device(self, machine: Machine, owner: Site | Desk) -> None:
        """Add its account, and put the bundle with its one-time key into the machine: no key is carried."""
        bundle = f"/root/{owner.account}.toml"
        role = Role.ONSITE if isinstance(owner, Site) else Role.MASTER
        words = ["--location", owner.location] if isinstance(owner, Site) else []
        add = ["rdv-admin", "device", "add", owner.account, "--role", role, "--label", machine.name, *words]
        self.rdv.run([*add, "--server", config.RDV_NAME, "--bundle", bundle])
        config.put_bundle(machine, self.rdv.run(["cat", bundle]).out)

    def layers_of(self, role: Role) -> list[Path]:
        """The lower directories of the role's machines, for one more that a test makes."""
        return self._layers[role]

    def another_rdv(self, name: str, address: IPv4Interface) -> Machine:
        """One more host on the internet with the server's packages, booted; nobody dials it."""
        machine = self._machine(name, Role.RDV)
        self.spares.append(machine)
        self.switches["internet"].plug(machine, UPLINK)
        config.static_address(machine, UPLINK, address)
        self._boot(machine)
        return machine

    def start_devices(self) -> None:
        """Boot all onsites and masters at once, and plug the masters' adapters in."""
        _all_at_once(self._boot, [*self.onsites, *self.masters])
        for adapter, master in zip(self.adapters, self.masters, strict=True):
            adapter.plug(master)

    def wait_online(
        self, accounts: Iterable[str] | None = None, *, deadline: float = ONLINE_DEADLINE
    ) -> None:
        """Until the RDV has these devices (all of them) online, told by its signals."""
        if self.packages is None:
            return
        owners: list[Site | Desk] = [*self.plan.sites, *self.plan.desks]
        wanted = set(accounts if accounts is not None else [owner.account for owner in owners])
        watch = ["dbus-monitor", "--system", "type='signal',interface='org.rdv.TundevManager1'"]
        with self.rdv.start(watch) as signals:
            signals.wait_until(
                lambda: wanted <= self.online(),
                what=lambda: f"{', '.join(sorted(wanted - self.online()))} online",
                deadline=deadline,
            )

    def wait_ports(self, *, deadline: float = ONLINE_DEADLINE) -> None:
        """Until every master has its port ready for a session."""
        for master in self.masters if self.packages is not None else []:
            wait_until(
                lambda master=master: self.port(master).get("state") == "ready",  # type: ignore[misc]
                what=f"the port of {master.name} ready",
                deadline=deadline,
                every=0.1,
            )

    @staticmethod
    def port(master: Runs) -> dict[str, Any]:
        """The technician's port, as its service tells of it; empty where that does not run."""
        told = _called(master, WATCHER.name, WATCHER.path, WATCHER.interface, GET_INTERFACE)
        return {key: value["data"] for key, value in told[0].items()} if told else {}

    def online(self) -> set[str]:
        """Accounts of the devices that the RDV has online; none where its manager does not run."""
        method = manager.LIST_ONLINE
        told = _called(self.rdv, manager.BUS_NAME, manager.PATH, method.interface, method.member)
        return {json.loads(row)["id"] for row in told[0]} if told else set()

    def end_sessions(self) -> None:
        """Whatever the masters have; none is no error."""
        name = BUS_NAMES[tunnel.Role.MASTER]
        _all_at_once(
            lambda master: _called(master, name.name, name.path, name.interface, DISCONNECT), self.masters
        )

    def snapshots(self) -> dict[str, Snapshot]:
        """Of every machine, for comparing."""
        return dict(zip([m.name for m in self.machines], _all_at_once(snapshot, self.machines), strict=True))

    def journals(self, lines: int = 60) -> str:
        """The ends of all machines' journals, for a person who looks for what went wrong."""
        parts = []
        for machine in self.machines if hasattr(self, "rdv") else []:
            try:
                parts.append(f"--- {machine.name}\n{machine.journal(lines=lines)}")
            except LabError as error:
                parts.append(f"--- {machine.name}: {error}")
        return "\n".join(parts)

    # How each thing is built.

    def _switch(self, name: str) -> Switch:
        switch = self.switches[name] = Switch(self.place, name)
        switch.create()
        return switch

    def _machine(self, name: str, role: Role) -> Machine:
        machine = Machine(self.place, name, self._layers[role])
        machine.create()
        return machine

    def _boot(self, machine: Machine) -> None:
        if failed := machine.boot():
            raise LabError(f"{machine.name}: failed units: {', '.join(failed)}\n{machine.journal(failed[0])}")

    def _build_site(self, site: Site) -> None:
        switch = self.switches[site.lan.name]
        onsite = self._machine(site.onsite, Role.ONSITE)
        switch.plug(onsite, UPLINK)
        self.onsites.append(onsite)
        camera = Camera(self.place, site.camera)
        camera.site = site
        camera.create()
        camera.connect(switch, site.lan.at(int(CAMERA) - int(site.lan.subnet.network_address)))
        self.cameras.append(camera)

    def _build_desk(self, desk: Desk) -> None:
        switch = self.switches[desk.lan.name]
        master = self._machine(desk.master, Role.MASTER)
        switch.plug(master, UPLINK, mac=desk.mac)
        adapters.prepare(master)
        config.leave_alone(master, *adapters.NAMES)
        self.masters.append(master)
        laptop = Laptop(self.place, desk.laptop)
        laptop.create()
        # In a drawer of its own, for all have the same name.
        drawer = Host(self.place, f"drawer{len(self.masters)}")
        drawer.create()
        self.drawers.append(drawer)
        self.adapters.append(Adapter(drawer, adapters.NAMES[0], laptop, INTERFACE))
        self.laptops.append(laptop)
        bystander = Host(self.place, desk.bystander)
        bystander.create()
        switch.plug(bystander, UPLINK)
        prefix = desk.lan.subnet.prefixlen
        bystander.ip(f"addr add {desk.bystander_address}/{prefix} dev {UPLINK}")
        bystander.ip(f"route add default via {desk.lan.router.ip}")
        self.bystanders.append(bystander)


def _called(host: Runs, *words: str) -> list[Any]:
    """What a method on the host's bus answers; empty where it refuses, or is not there."""
    told = host.run(["busctl", "--json=short", "call", *words], check=False)
    return list(json.loads(told.out)["data"]) if told.code == 0 and told.out else []


def _all_at_once(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Call it for every item in threads; the first error, once all have ended."""
    todo = list(items)
    if not todo:
        return []
    with ThreadPoolExecutor(len(todo)) as pool:
        return [future.result() for future in [pool.submit(function, item) for item in todo]]


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
