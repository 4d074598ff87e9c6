"""What an image costs: its size, the time from power to online, what an idle device writes to its card."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from image.deliver import pack
from tests.bench.figures import Figure
from tests.image.card import card_of, image_of
from tests.image.guest import Guest
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.topology import RDV, topology
from vtunlib.tunnel import Role

ACCOUNT = "rpi1300"
DEADLINE = 1800.0
"""Seconds of this machine's clock for a boot at its own pace, emulated beside other work."""
SETTLED = 300.0
"""Seconds after which what a boot still writes is on the card: the journal is synced every 5 minutes."""
IDLE = 540.0
"""Seconds that it is watched for, until shortly before CLEANED."""
CLEANED = 300.0
"""Seconds of another watch, in which temporary folders are cleaned up: 15 minutes after a boot, and daily."""
HOUR = 3600.0
MB = 1e6


def onsite_image() -> list[Figure]:
    """Of an onsite's, with an RDV in the lab that it is online with; times are the machine's own."""
    image = image_of(Role.ONSITE)
    with Lab(topology(desks=0), name="benchcard") as lab, tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        figures = [Figure("onsite's image, xz", _packed(image) / MB, "MB", 1)]
        lab.install()
        lab.build()
        lab.start_rdv()
        add = ["rdv-admin", "device", "add", ACCOUNT, "--role", "onsite", "--server", str(RDV.ip)]
        lab.rdv.run([*add, "--bundle", "/root/bundle.toml"])
        disk = card_of(image, lab.rdv.run(["cat", "/root/bundle.toml"]).out, Path(name))
        with Guest("onsite", lab.camera, disk, lab.camera.path) as guest:
            for what in ("enrolled and online, first boot", "online, later boot"):
                guest.boot(deadline=DEADLINE)
                lab.wait_online([ACCOUNT], deadline=DEADLINE)
                figures.append(Figure(f"power to {what}, emulated", _online_after(guest), "s", 1))
                if what.startswith("enrolled"):
                    guest.run(["sync"])
                    guest.stop()
                    wait_until(lambda: not lab.online(), what="offline", deadline=DEADLINE, every=1.0)
            _pass(guest, SETTLED)
            idle, cleaned = _written_in(guest, IDLE), _written_in(guest, CLEANED)
            what = f"written to the card in an idle hour, from {IDLE / 60:.0f} min"
            figures.append(Figure(what, idle / IDLE * HOUR / 1e3, "kB", 1))
            figures.append(Figure("written to the card by a day's cleaning up", cleaned / 1e3, "kB", 1))
    return figures


def _packed(image: Path) -> int:
    """Bytes of the image as `make image` packs it."""
    packed = pack(image)
    size = packed.stat().st_size
    packed.unlink()
    return size


def _online_after(guest: Guest) -> float:
    """Seconds after its kernel began that its agent said that it is online."""
    said = ["journalctl", "--boot", "--unit=onsitedev.service", "--grep=-> SSH_connection_OK"]
    line = guest.run([*said, "--output=short-monotonic", "--quiet"]).out.splitlines()[0]
    return float(line.partition("]")[0].strip("[ "))


def _written(guest: Guest) -> int:
    """Bytes that it has written to its card since it was switched on."""
    told: list[dict[str, Any]] = guest.monitor.command("query-blockstats")
    return sum(device["stats"]["wr_bytes"] for device in told)


def _written_in(guest: Guest, seconds: float) -> int:
    """Bytes that it writes in so long."""
    before = _written(guest)
    _pass(guest, seconds)
    return _written(guest) - before


def _pass(guest: Guest, seconds: float) -> None:
    """Until its clock has gone on by so much, and nobody has asked it for anything meanwhile."""
    end = guest.clock() + seconds
    while (left := end - guest.clock()) > 0:
        time.sleep(left)
