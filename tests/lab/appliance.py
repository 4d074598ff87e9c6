"""A device as its card makes it: a read-only root, a boot partition, a data partition.

The two partitions are folders of the lab's host, for there is no block device in
systemd-nspawn; they outlive a boot, as a card does. What only a kernel of its own
shows, fsck, growth and watchdog, is for tests/image.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab import packages
from tests.lab.host import wait_until
from tests.lab.lab import UPLINK
from tests.lab.machine import Machine
from tests.lab.place import Place
from tests.lab.process import run
from tests.lab.roles import Role, newest, packages_of
from tundev.paths import LAN_BRIDGE

ACCOUNT = "rpi1190"
CUSTOMER = "customer1"

# The data partition is a folder here; all that is laid over the root comes from it as on a card.
_DATA_MOUNT = """\
[Unit]
Description=Data partition of the lab

[Mount]
What=/card/data
Where=/var/lib/tundev
Type=none
Options=bind
"""


class Appliance(Machine):
    """`layers` have an onsite's packages; `install` adds what makes an appliance of it."""

    def __init__(self, place: Place, name: str, layers: Sequence[Path]) -> None:
        super().__init__(place, name, layers)
        self.boot_partition = self.path / "card/boot"
        self.data_partition = self.path / "card/data"
        self.port = ""
        """Of the switch that it is plugged into."""
        self.issued = ""
        """The text of the bundle that the RDV has made for it."""

    @property
    def bundle(self) -> Path:
        """tundev.toml on the boot partition."""
        return self.boot_partition / "tundev.toml"

    @property
    def status(self) -> str:
        """What tundev-status.txt on the boot partition says, on one line; empty without it."""
        file = self.boot_partition / "tundev-status.txt"
        return " ".join(file.read_text().split()) if file.exists() else ""

    def wait_status(self, words: str, *, deadline: float = 60.0) -> None:
        """Until the status file says that."""
        what = f"status file with {words!r}"
        wait_until(lambda: words in self.status, what=what, deadline=deadline, every=0.2)

    def install(self, dist: Path) -> None:
        """The package, by apt, while the root can be written; then the machine is off."""
        self.boot()
        debs = [*packages_of(Role.ONSITE, dist), newest("tundev-image", dist)]
        packages.install(self, packages.offer(self, debs)[-1:])
        self.stop()
        # As an image has them; vtun's own server would have the boot wait for a network.
        (self.root / "debs").rename(self.root / "usr/lib/tundev/packages")
        (self.root / "etc/systemd/system/vtun.service").symlink_to("/dev/null")
        for file in ("tundev.toml", "id_ed25519", "id_ed25519.pub"):
            (self.root / "etc/tundev" / file).unlink(missing_ok=True)
        (self.root / "etc/systemd/system/var-lib-tundev.mount").write_text(_DATA_MOUNT)
        resolver = self.root / "etc/resolv.conf"
        resolver.unlink(missing_ok=True)
        resolver.symlink_to("/run/NetworkManager/resolv.conf")
        for folder in (self.root / "card/data", self.boot_partition, self.data_partition):
            folder.mkdir(parents=True)
        self.binds = [
            "--read-only",
            f"--bind={self.boot_partition}:/boot/firmware",
            f"--bind={self.data_partition}:/card/data",
        ]
        # What is written to the root from now on is gone when the card is flashed.
        self._lift_root()
        image = self.path / "image"
        self.upper.rename(image)
        self.layers.insert(0, image)
        self.lay_root()

    @contextmanager
    def _switched_on(self) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
        """The network begins empty, as a kernel's does: the namespace is there from before."""
        run(["ip", "-n", self.netns, "link", "del", LAN_BRIDGE], check=False)
        run(["ip", "-n", self.netns, "address", "flush", "dev", UPLINK], check=False)
        with super()._switched_on() as started:
            yield started

    def _lift_root(self) -> None:
        run(["umount", str(self.root)])
        shutil.rmtree(self.path / "work")

    def flash(self) -> None:
        """As after the image was written to the card again; the machine is off."""
        self._lift_root()
        shutil.rmtree(self.upper)
        self.lay_root()
        for folder in (self.boot_partition, self.data_partition):
            run(["find", str(folder), "-mindepth", "1", "-delete"])
