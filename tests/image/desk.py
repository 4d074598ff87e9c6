"""A support desk: a master in QEMU with USB sockets, and a laptop at the adapters' other ends."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tests.image.disk import disk_of
from tests.image.guest import Guest
from tests.lab.clean import clean
from tests.lab.laptop import INTERFACE, Laptop
from tests.lab.place import Place
from tests.lab.roles import DIST, Role

MASTER = "master"
CABLES = (INTERFACE, "spare0")
"""Where adapters are wired to, in the laptop's namespace: its own interface, and one it does not use."""

SERVICES = ("tundev-uplink@master", "secondary-if-watcher", "masterdev", "masterdev-web")

# Nothing answers at TEST-NET-1 (RFC 5737): the desk's uplink leads nowhere.
_CONFIGURATION = """\
[rdv]
server = "192.0.2.1"
account = "rpi1200"
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"
"""


class Desk:
    """In use from `boot` to the end of the block."""

    laptop: Laptop
    master: Guest

    def __init__(self, name: str, dist: Path = DIST) -> None:
        self._name = name
        self._dist = dist
        self._undo = ExitStack()

    def __enter__(self) -> Desk:
        disk = disk_of(Role.MASTER, self._dist)
        with ExitStack() as undo:
            place = undo.enter_context(Place(self._name))
            clean(place)  # what an interrupted desk of this name left
            undo.callback(clean, place)
            place.mount()
            self.laptop = Laptop(place, "laptop")
            self.laptop.create()
            undo.callback(self.laptop.end_programs)
            for cable in CABLES:
                self.laptop.ip(f"tuntap add dev {cable} mode tap", f"link set {cable} up")
            folder = place.path / MASTER
            folder.mkdir()
            self.master = undo.enter_context(Guest(MASTER, self.laptop, disk, folder))
            self._undo = undo.pop_all()
        return self

    def boot(self) -> list[str]:
        """Boot the master and configure it as a field engineer does; the units that failed."""
        self.master.boot()
        configure = "umask 027; cat > /etc/tundev/tundev.toml; chgrp tundev /etc/tundev/tundev.toml"
        self.master.run(["sh", "-c", configure], stdin=_CONFIGURATION)
        self.master.run(["systemctl", "restart", *SERVICES])
        return self.master.failed_units()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()
