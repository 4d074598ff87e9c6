"""The technician's port in the lab: an adapter that comes and goes, its cable, and whose network is on it.

Adapters are tests.lab.adapter's: real to the master's kernel and udev, but not USB. What USB
itself does is seen in tests/image.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from tests.lab.adapter import NAMES, PRODUCT, Adapter
from tests.lab.host import Host, wait_until
from tests.lab.lab import Lab
from tests.lab.laptop import INTERFACE, Laptop
from tests.lab.machine import Machine
from tests.lab.process import Program
from tests.lab.test_kills import kill, main_pid
from tests.lab.test_sessions import account, listed, session
from tests.lab.topology import CAMERA, CAMERA_NAME, CUSTOMER_LAN
from vtunlib import probe
from vtunlib.errors import NotFound, SessionFailed
from vtunlib.namespace import inside

GONE = 2.0
"""Seconds from the pull of an adapter until nothing of the session is left anywhere (issue 4)."""
SOON = 10.0
WATCHER = "secondary-if-watcher.service"
OWN = IPv4Address("192.168.38.225")
CONFIGURED = IPv4Network("192.168.38.224/29")


def state(lab: Lab) -> str:
    return str(lab.port(lab.master).get("state"))


def becomes(lab: Lab, wanted: str) -> dict[str, Any]:
    """The port, once it is in that state."""
    wait_until(lambda: state(lab) == wanted, what=f"the port is {wanted}", deadline=SOON)
    return lab.port(lab.master)


def status(machine: Machine) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(machine.run(["tundev-status", "--json"]).out)
    return told


def over_everywhere(lab: Lab) -> bool:
    """No session and no tunnel on any of the three machines."""
    tunnels = [
        lab.master.run(["ip", "link", "show", "tundev-leg"], check=False).code,
        lab.onsite.run(["ip", "link", "show", "tundev-leg"], check=False).code,
    ]
    spaces = lab.rdv.run(["ip", "netns", "list"]).out
    return all(tunnels) and "rdv-" not in spaces and not listed(lab)


@contextmanager
def no_complaints(lab: Lab) -> Iterator[None]:
    """What goes meanwhile is gone without a word: of what is not there any more nothing is an error."""
    journal = ["journalctl", "--quiet", "--no-pager", "-o", "cat", "-u", WATCHER, "-u", "masterdev.service"]
    last = lab.master.run([*journal, "--lines=1", "--show-cursor"]).out.splitlines()[-1]
    yield
    told = lab.master.run([*journal, f"--after-cursor={last.removeprefix('-- cursor: ')}"]).out
    assert " -> " in told
    assert not re.findall(r".*(?:cannot|[Nn]o such|there is no|Traceback|Error|failed).*", told)


@contextmanager
def connecting(lab: Lab, *words: str) -> Iterator[Program]:
    """`masterdev connect` in the foreground, connected."""
    with lab.master.start(["masterdev", "connect", account(lab, 0), *words]) as command:
        command.wait_line("Ctrl-C ends the session", deadline=40)
        yield command


@pytest.mark.parametrize("mode", ["L3", "L2"])
def test_from_plug_to_the_camera_s_page_to_unplug(lab: Lab, mode: str) -> None:
    """Named by its DNS name; two seconds after the adapter was pulled nothing is left anywhere."""
    lab.adapter.pull()
    assert becomes(lab, "absent") == {"state": "absent"}
    lab.adapter.plug(lab.master)
    port = becomes(lab, "ready")
    assert port["interface"] == NAMES[0] and port["product"] == PRODUCT
    with no_complaints(lab), connecting(lab, "-m", mode) as command:
        lease = lab.laptop.dhcp()
        assert lab.port(lab.master).get("lease") == (str(lease.address.ip) if mode == "L3" else None)
        assert lab.laptop.fetch(f"http://{CAMERA_NAME}/").out == lab.camera.page()
        pulled = time.monotonic()
        lab.adapter.pull()
        wait_until(
            lambda: over_everywhere(lab), what="the session is gone everywhere", deadline=GONE, every=0
        )
        print(f"the session was gone {time.monotonic() - pulled:.2f} s after the pull")
        command.wait_line("the session is over: the adapter was unplugged", deadline=SOON)
        assert command.wait(deadline=SOON) == 0
        assert becomes(lab, "absent") == {"state": "absent"}
    lab.adapter.plug(lab.master)
    becomes(lab, "ready")


def test_a_cable_may_be_away_for_the_grace_and_no_longer(lab: Lab) -> None:
    with connecting(lab) as command:
        lab.laptop.dhcp()
        lab.adapter.pull_cable()
        lab.adapter.put_cable_back()
        lab.laptop.dhcp()
        assert lab.laptop.ping(str(CAMERA)).code == 0
        lab.adapter.pull_cable()
        command.wait_line("the session is over: the cable of the adapter was pulled", deadline=SOON)
        assert state(lab) == "no_cable"
        assert not listed(lab)
        lab.adapter.put_cable_back()
    becomes(lab, "ready")


def test_without_an_adapter_it_says_what_to_do_or_waits(lab: Lab) -> None:
    lab.adapter.pull()
    becomes(lab, "absent")
    told = lab.master.run(["masterdev", "connect", account(lab, 0)], check=False)
    assert told.code == NotFound.exit_code
    assert "no USB-Ethernet adapter is plugged in; plug the adapter into the master" in told.err
    wait = ["masterdev", "connect", account(lab, 0), "--wait", "60"]
    with lab.master.start([*wait, "-t", "600"]) as command:
        command.wait_line("- waiting for the adapter", deadline=SOON)
        assert status(lab.master)["step"] == "waiting for the adapter"
        lab.adapter.plug(lab.master)
        command.wait_line("Ctrl-C ends the session", deadline=40)
        known = status(lab.master)
        assert known["port"] == NAMES[0] and known["rx_bytes"] > 0 and "step" not in known
        since, ends = (datetime.fromisoformat(known[key]) for key in ("since", "ends"))
        assert (ends - since).total_seconds() == 600
        command.signal(signal.SIGINT)
        command.wait_line("disconnected", deadline=SOON)
    lab.adapter.pull()
    becomes(lab, "absent")
    with lab.master.start(wait) as command:
        command.wait_line("- waiting for the adapter", deadline=SOON)
        command.signal(signal.SIGINT)
        assert command.wait(deadline=SOON) == 130
    told = lab.master.run(["masterdev", "connect", account(lab, 0), "--wait", "1"], check=False)
    assert told.code == NotFound.exit_code
    lab.adapter.plug(lab.master)


def test_a_second_adapter_waits_and_takes_over(lab: Lab) -> None:
    spare = Laptop(lab.place, "spare")
    spare.create()
    second = Adapter(lab.drawers[0], NAMES[1], spare, INTERFACE)
    try:
        second.plug(lab.master)
        wait_until(lambda: "waiting" in lab.port(lab.master), what="the second is seen", deadline=SOON)
        port = lab.port(lab.master)
        assert port["interface"] == NAMES[0] and port["waiting"] == [f"{NAMES[1]} ({PRODUCT})"]
        lab.adapter.pull()
        wait_until(
            lambda: lab.port(lab.master).get("interface") == NAMES[1] and state(lab) == "ready",
            what="the second takes over",
            deadline=SOON,
        )
        assert spare.dhcp().server == OWN
        lab.adapter.plug(lab.master)
        wait_until(lambda: "waiting" in lab.port(lab.master), what="the first waits now", deadline=SOON)
        assert lab.port(lab.master)["interface"] == NAMES[1]
    finally:
        spare.forget()
        second.pull()
    becomes(lab, "ready")


def test_twenty_plugs_in_ten_seconds(lab: Lab) -> None:
    with no_complaints(lab):
        for _ in range(20):
            lab.adapter.pull()
            time.sleep(0.25)  # the pace is the test, not a wait for anything
            lab.adapter.plug(lab.master)
            time.sleep(0.25)
        becomes(lab, "ready")
    assert lab.laptop.dhcp().server == OWN


@pytest.mark.parametrize("mode", [None, "L3", "L2"])
def test_the_watcher_killed(lab: Lab, mode: str | None) -> None:
    """A session goes on, and goes back to the port's own network at its end as ever."""

    def killed() -> None:
        pid = main_pid(lab.master, WATCHER)
        kill(lab.master, pid)
        show = ["systemctl", "show", "--property=MainPID,ActiveState", "--value", WATCHER]
        wait_until(
            lambda: {"active"} <= set(words := lab.master.run(show).out.split()) and str(pid) not in words,
            what="another watcher",
            deadline=SOON,
        )

    if mode is None:
        killed()
    else:
        with session(lab.master, account(lab, 0), mode):
            lab.laptop.dhcp()
            with lab.laptop.losing_nothing(str(CAMERA)):
                killed()
                becomes(lab, "borrowed")
            assert lab.laptop.fetch(f"http://{CAMERA_NAME}/").out == lab.camera.page()
            assert [row["state"] for row in listed(lab)] == ["up"]
    becomes(lab, "ready")
    assert lab.laptop.dhcp().server == OWN
    kill(lab.master, main_pid(lab.master, "masterdev.service"))
    lab.wait_online()
    assert state(lab) == "ready"


@pytest.mark.parametrize("mode", ["L3", "L2"])
def test_the_agent_killed_has_given_the_port_back(lab: Lab, mode: str) -> None:
    with session(lab.master, account(lab, 0), mode):
        becomes(lab, "borrowed")
        kill(lab.master, main_pid(lab.master, "masterdev.service"))
        becomes(lab, "ready")
    assert lab.laptop.dhcp().server == OWN


STEPS = ("asking the RDV", "setting up this end", "waiting for the tunnel", "asking the far end")
"""Of `masterdev connect`, in this order."""


@pytest.mark.parametrize("mode", ["L3", "L2"])
def test_given_up_or_unplugged_at_any_step_the_port_is_given_back(lab: Lab, mode: str) -> None:
    connect = ["masterdev", "connect", account(lab, 0), "-m", mode]
    for step in STEPS:
        with lab.master.start(connect) as command:
            command.wait_line(step, deadline=SOON)
            command.signal(signal.SIGINT)
            assert command.wait(deadline=SOON) in (0, 130), command.text
        becomes(lab, "ready")
        with lab.master.start(connect) as command:
            command.wait_line(step, deadline=SOON)
            lab.adapter.pull()
            command.wait(deadline=SOON)
        wait_until(lambda: over_everywhere(lab), what="the session is gone everywhere", deadline=SOON)
        lab.adapter.plug(lab.master)
        becomes(lab, "ready")
    assert lab.laptop.dhcp().server == OWN


@contextmanager
def office(host: Host) -> Iterator[None]:
    """An office network with a DHCP server at the other end of the adapter's cable."""
    host.ip(f"addr add 10.20.0.1/24 dev {INTERFACE}")
    argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--pid-file="]
    serve = ["--dhcp-range=10.20.0.50,10.20.0.60", "--log-facility=-", f"--interface={INTERFACE}"]
    try:
        with host.start([*argv, *serve, "--leasefile-ro"]) as server:
            server.wait_line("DHCP, IP range", deadline=SOON)
            yield
    finally:
        host.ip(f"addr flush dev {INTERFACE}")


def test_on_another_network_the_port_keeps_still_and_says_so(lab: Lab) -> None:
    lab.adapter.pull()
    with office(lab.laptop):
        lab.adapter.plug(lab.master)
        port = becomes(lab, "refused")
        assert "10.20.0.1" in port["reason"]
        assert "tundev-dhcp@" not in lab.master.run(["systemctl", "list-units", "--plain"]).out
        assert f"{OWN}" not in lab.master.run(["ip", "-4", "address"]).out
        told = lab.master.run(["masterdev", "connect", account(lab, 0)], check=False)
        assert told.code == NotFound.exit_code and "10.20.0.1" in told.err
    lab.adapter.pull_cable()
    becomes(lab, "no_cable")
    lab.adapter.put_cable_back()
    becomes(lab, "ready")


def test_a_network_that_comes_in_a_session_ends_it(lab: Lab) -> None:
    with connecting(lab) as command, office(lab.laptop):
        # Who moves the cable takes it out of the laptop first, for less than the grace here.
        lab.adapter.pull_cable()
        lab.adapter.put_cable_back()
        becomes(lab, "refused")
        command.wait_line("the session is over: ", deadline=SOON)
        assert command.wait(deadline=SOON) == SessionFailed.exit_code
        assert "10.20.0.1" in command.text
    lab.adapter.pull_cable()
    becomes(lab, "no_cable")
    lab.adapter.put_cable_back()
    becomes(lab, "ready")


def test_a_subnet_that_the_uplink_has_is_left_for_another(lab: Lab) -> None:
    lab.master.run(["ip", "address", "add", "192.168.38.1/24", "dev", "eth0"])
    try:
        wait_until(lambda: "moved" in lab.port(lab.master), what="the laptop is moved", deadline=SOON)
        port = lab.port(lab.master)
        assert "eth0" in port["moved"]
        lease = lab.laptop.dhcp()
        assert lease.address.network == IPv4Interface(port["address"]).network
        assert not lease.address.network.overlaps(IPv4Network("192.168.38.0/24"))
    finally:
        lab.master.run(["ip", "address", "del", "192.168.38.1/24", "dev", "eth0"])
    lab.adapter.pull()
    becomes(lab, "absent")
    lab.adapter.plug(lab.master)
    assert IPv4Interface(becomes(lab, "ready")["address"]).network == CONFIGURED


def test_a_subnet_that_the_customer_has_is_left_for_the_session(lab: Lab) -> None:
    """The laptop is moved, told so by its link, reaches the camera, and is moved back."""
    master = lab.master
    text = master.run(["cat", "/etc/tundev/tundev.toml"]).out
    clashing = text.replace(str(CONFIGURED), str(IPv4Network("192.168.1.224/29")))
    assert clashing != text
    master.copy_in(clashing, "/etc/tundev/tundev.toml", mode=0o640)
    try:
        master.run(["systemctl", "restart", WATCHER])
        assert becomes(lab, "ready")["address"] == "192.168.1.225/29"
        lab.laptop.dhcp()
        with session(master, account(lab, 0), "L3"):
            port = lab.port(master)
            assert "the customer's LAN, 192.168.1.0/24" in port["moved"]
            assert f"moved: {port['moved']}" in master.run(["masterdev", "status"]).out
            lease = lab.laptop.dhcp()
            assert not lease.address.network.overlaps(CUSTOMER_LAN)
            assert lab.laptop.fetch(f"http://{CAMERA_NAME}/").out == lab.camera.page()
        port = becomes(lab, "ready")
        assert port["address"] == "192.168.1.225/29" and "moved" not in port
        assert lab.laptop.dhcp().address.network == IPv4Network("192.168.1.224/29")
    finally:
        master.copy_in(text, "/etc/tundev/tundev.toml", mode=0o640)
        master.run(["chgrp", "tundev", "/etc/tundev/tundev.toml"])
        master.run(["systemctl", "restart", WATCHER])
    becomes(lab, "ready")


def test_between_sessions_names_are_asked_of_whom_the_uplink_has(lab: Lab) -> None:
    """As that changes, without a new lease or a new connection."""
    former = lab.port(lab.master)["dns"]
    with lab.master.saying("nameserver 192.168.7.9\n", "/etc/resolv.conf"):
        wait_until(lambda: lab.port(lab.master)["dns"] == ["192.168.7.9"], what="the new one", deadline=SOON)
    wait_until(lambda: lab.port(lab.master)["dns"] == former, what="the former again", deadline=SOON)


class Capture:
    """All frames that pass an interface, heard from now on."""

    def __init__(self, host: Host, interface: str) -> None:
        self._frames: list[bytes] = []
        self._ears = inside(host.netns, self._open, interface)

    @staticmethod
    def _open(interface: str) -> socket.socket:
        ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        ears.bind((interface, 3))
        ears.setblocking(False)
        return ears

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self._ears.close()

    def frames(self) -> list[bytes]:
        """Until now."""
        with suppress(BlockingIOError):
            while True:
                self._frames.append(self._ears.recv(65536))
        return self._frames

    def names(self, text: bytes) -> bool:
        """Whether some frame has these bytes in it."""
        return any(text in frame for frame in self.frames())

    def comes_from(self, address: IPv4Address) -> bool:
        """Whether some frame is of a host with this address: its source by IP, its sender by ARP."""
        places = {b"\x08\x00": slice(26, 30), b"\x08\x06": slice(28, 32)}
        return any(
            frame[12:14] in places and frame[places[frame[12:14]]] == address.packed
            for frame in self.frames()
        )


def resolve(laptop: Laptop, *options: str) -> str:
    """The camera's address as the laptop's resolver has it; empty where nobody knows."""
    argv = ["env", f"RES_OPTIONS={' '.join(['attempts:1', 'timeout:3', *options])}", "getent", "ahostsv4"]
    return next(iter(laptop.run([*argv, CAMERA_NAME], check=False).out.split()), "")


@pytest.mark.parametrize("desk", [0, 1], ids=["other-subnet", "same-subnet-and-address"])
def test_names_are_the_customer_s_in_a_session_and_only_then(lab: Lab, desk: int) -> None:
    """Also by TCP, also where the uplink has the customer's very subnet, and without a new lease."""
    laptop, router = lab.laptops[desk], lab.routers[lab.plan.desks[desk].lan.name]
    assert laptop.dhcp().dns == (OWN,)
    asked = b"\6camera\10customer\3lan"
    with Capture(router, "lan") as support_lan:
        with session(lab.masters[desk], account(lab, 0), "L3"):
            assert resolve(laptop) == str(CAMERA)
            assert resolve(laptop, "use-vc") == str(CAMERA)
        assert not support_lan.names(asked)
        assert resolve(laptop) == ""
        assert support_lan.names(asked)


def test_names_come_back_after_a_dnsmasq_that_did_not_listen_and_one_that_died(lab: Lab) -> None:
    unit = f"tundev-dhcp@{NAMES[0]}.service"
    lab.laptop.dhcp()
    lab.master.run(["systemctl", "kill", "--signal=STOP", unit])
    with session(lab.master, account(lab, 0), "L3"):
        assert resolve(lab.laptop) == str(CAMERA)
        kill(lab.master, main_pid(lab.master, unit))
        wait_until(lambda: resolve(lab.laptop) == str(CAMERA), what="names after a crash", deadline=SOON)
        lab.master.run(["systemctl", "kill", "--signal=TERM", unit])  # which it takes for a good end
        wait_until(lambda: resolve(lab.laptop) == str(CAMERA), what="names after its end", deadline=SOON)
    assert "dnsmasq is started anew for its servers" in lab.master.journal(WATCHER, lines=50)
    assert resolve(lab.laptop) == ""


def knocks(host: Host, address: IPv4Address) -> bool:
    """Whether who has this address answers this host."""

    def ask() -> object:
        return asyncio.run(probe.arp_probe(address, INTERFACE, deadline=2))

    return inside(host.netns, ask) is not None


def test_in_l2_the_master_s_own_address_is_not_on_the_customer_s_network(lab: Lab) -> None:
    lab.laptop.dhcp()
    assert knocks(lab.laptop, OWN)
    with Capture(lab.camera, INTERFACE) as customer_lan, session(lab.master, account(lab, 0), "L2"):
        lab.laptop.dhcp()
        assert knocks(lab.laptop, CAMERA)
        assert not knocks(lab.laptop, OWN)
        assert customer_lan.comes_from(CAMERA)
        assert not customer_lan.comes_from(OWN)
        assert "address" not in lab.port(lab.master)
