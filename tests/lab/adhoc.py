"""Single machines to try things in, on one switch with DHCP and DNS between them.

All of them belong to the lab `adhoc`. The switch hands out 10.77.0.0/24, and a machine
is known by its name. They outlive the command that booted them.
"""

from __future__ import annotations

import subprocess
import time

from tests.lab.base import base_root
from tests.lab.clean import clean, namespaces, remove_host
from tests.lab.host import Host, Switch
from tests.lab.machine import Machine
from tests.lab.place import ADHOC as LAB
from tests.lab.place import NETNS, Place, full_name
from tests.lab.process import LabError, environment, run

SWITCH = "switch"
LOCK_DEADLINE = 120.0


def _locked() -> Place:
    """The lab's place; commands of several people wait for each other here, each for a short time."""
    place = Place(LAB)
    until = time.monotonic() + LOCK_DEADLINE
    while True:
        try:
            place.lock()
            return place
        except LabError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _switch(place: Place) -> Switch:
    """The switch, made with its DHCP server if it is not there."""
    switch = Switch(place, SWITCH)
    if (NETNS / switch.netns).exists():
        return switch
    switch.create()
    switch.ip("addr add 10.77.0.1/24 dev lan")
    # It runs on after this command: a daemon of its own session, found again by its namespace.
    subprocess.Popen(
        [
            *switch.prefix(),
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--interface=lan",
            "--bind-interfaces",
            "--dhcp-range=10.77.0.10,10.77.0.200,1h",
            "--dhcp-authoritative",
            "--dhcp-option=option:router,10.77.0.1",
            f"--dhcp-leasefile={switch.path / 'leases'}",
            "--pid-file=",
        ],
        stdin=subprocess.DEVNULL,
        stdout=(switch.path / "log").open("wb"),
        stderr=subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
    )
    return switch


def boot_machine(name: str, binds: list[str]) -> list[str]:
    """Boot a machine from the base root; the units that failed."""
    root = base_root()
    place = _locked()
    try:
        place.mount()
        machine = Machine(place, name, [root], binds=binds)
        if (NETNS / machine.netns).exists():
            raise LabError(f"there is a machine {name} already; stop it first")
        switch = _switch(place)
        machine.create()
        run(
            [
                "ip",
                "-n",
                machine.netns,
                "link",
                "add",
                "eth0",
                "type",
                "veth",
                "peer",
                "name",
                f"p{name}"[:15],
                "netns",
                switch.netns,
            ]
        )
        machine.ip("link set eth0 up")
        switch.ip(f"link set p{name[:14]} master lan up")
    finally:
        place.unlock()
    return machine.boot()


def find_host(name: str) -> Host:
    """A host that runs: `NAME` for a single machine, `LAB/NAME` for one of a whole lab."""
    lab, _, host = name.rpartition("/")
    machine = Machine(Place(lab or LAB), host, [])
    if machine.leader is not None:
        return machine
    if lab and (NETNS / machine.netns).exists():
        return Host(machine.place, host)
    first = full_name(lab or LAB, "x")[:-1]
    there = [entry.removeprefix(first) for entry in namespaces(lab or LAB)]
    raise LabError(
        f"{name} is not running; there are: {', '.join(n for n in there if n != SWITCH) or 'none'}"
    )


def stop_machine(name: str) -> None:
    """Power it off and remove it; with the last machine the switch goes too."""
    machine = Machine(Place(LAB), name, [])
    machine.stop()
    place = _locked()
    try:
        remove_host(machine)
        if namespaces(LAB) == [full_name(LAB, SWITCH)]:
            clean(place)
    finally:
        place.unlock()
