"""Records what udev tells while adapters come and go, for the tests that replay it.

    /usr/bin/python3 -m tests.image.recording tests/unit/tundev/port/data

A file for each driver that QEMU's usb-net works with: plugged in, and pulled out again.
The kernel's events and udev's own, in the form of `udevadm monitor --property`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.image.desk import ADAPTERS, SWITCH_CONFIGURATION, Desk, desk_alone
from tests.image.guest import Guest

_TOLD = "/run/recorded"
_MONITOR = "exec stdbuf -oL udevadm monitor --kernel --udev --property --subsystem-match=net"
_LISTENS = f"timeout 20 sh -c 'until grep -q ^KERNEL {_TOLD}; do sleep 0.1; done'"
_THERE = "timeout 20 sh -c 'until grep -qs ID_NET_DRIVER={driver} /run/udev/data/n*; do sleep 0.1; done'"


@contextmanager
def _recording(master: Guest, file: Path, head: str) -> Iterator[None]:
    """Write what was told in the block to the file."""
    told = f"--property=StandardOutput=truncate:{_TOLD}"
    master.run(["systemd-run", "--quiet", "--unit=recording", told, "sh", "-c", _MONITOR])
    _shell(master, _LISTENS)
    yield
    _shell(master, "udevadm settle && systemctl stop recording")
    qemu = master.monitor.command("query-version")["qemu"]
    machine = (
        f"QEMU {qemu['major']}.{qemu['minor']}, Debian 12 arm64, kernel {_shell(master, 'uname -r').strip()}"
    )
    about = f"# {head}\n# Recorded in {machine}, by tests/image/recording.py.\n\n"
    _legend, _, events = _shell(master, f"cat {_TOLD}").partition("\n\n")
    file.write_text(about + events.strip("\n") + "\n", encoding="ascii")


def _shell(master: Guest, command: str) -> str:
    return master.run(["sh", "-c", command]).out


def record(desk: Desk, folder: Path) -> None:
    """All recordings, into the folder."""
    master = desk.master
    with _recording(master, folder / "qemu-cdc_ether.txt", "A CDC Ethernet adapter: plugged in, pulled out."):
        _plug(master, "cdc_ether")
        _unplug(master)
    switched = "An adapter of two configurations: plugged in, switched to RNDIS, pulled out."
    with _recording(master, folder / "qemu-rndis_host.txt", switched):
        _plug(master, "cdc_ether")
        _shell(master, SWITCH_CONFIGURATION)
        _shell(master, _THERE.format(driver="rndis_host"))
        _unplug(master)
    _shell(master, "modprobe --remove rndis_host cdc_ether && modprobe cdc_subset")
    unnamed = "An adapter without a MAC address of its own, so without a name by it: plugged in, pulled out."
    with _recording(master, folder / "qemu-cdc_subset.txt", unnamed):
        _plug(master, "cdc_subset")
        _unplug(master)


def _plug(master: Guest, driver: str) -> None:
    master.plug(ADAPTERS[0].name, ADAPTERS[0].cable, ADAPTERS[0].mac)
    _shell(master, _THERE.format(driver=driver))


def _unplug(master: Guest) -> None:
    master.unplug(ADAPTERS[0].name)
    _shell(master, "timeout 20 sh -c 'while grep -qs ID_BUS=usb /run/udev/data/n*; do sleep 0.1; done'")


if __name__ == "__main__":
    with desk_alone("recording") as made:
        record(made, Path(sys.argv[1]))
