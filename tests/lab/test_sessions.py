"""What a session carries: real hosts, real protocols, from the technician's laptop to the customer's LAN."""

from __future__ import annotations

import json
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface

import pytest

from tests.lab.host import Host, wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.topology import CAMERA, CUSTOMER_LAN, DOWNLOAD, DOWNLOAD_BYTES
from vtunlib.namespace import inside

ETHERTYPE = 0x88B5
"""IEEE 802, local experimental: no IP in it."""


@contextmanager
def session(master: Machine, onsite: str, mode: str) -> Iterator[str]:
    """A session, and what `masterdev connect` printed."""
    told = master.run(["masterdev", "connect", onsite, "-m", mode, "--detach"], deadline=60).out
    try:
        yield told
    finally:
        master.run(["masterdev", "disconnect"], check=False)


def listed(lab: Lab) -> list[dict[str, str]]:
    """The RDV's sessions."""
    rows: list[dict[str, str]] = json.loads(lab.rdv.run(["rdv-admin", "session", "list", "--json"]).out)
    return rows


def account(lab: Lab, number: int) -> str:
    return lab.plan.sites[number].account


@pytest.mark.parametrize("desk", [0, 1], ids=["other-subnet", "same-subnet-and-address"])
def test_l3_reaches_hosts_of_the_customer(lab: Lab, desk: int) -> None:
    """Also where the master's uplink is on the customer's subnet, with the camera's very address."""
    laptop, camera = lab.laptops[desk], lab.cameras[0]
    with session(lab.masters[desk], account(lab, 0), "L3") as told:
        assert "round-trip time" in told and "192.168.1." in told
        lease = laptop.dhcp()
        assert str(lease.address) in ("192.168.38.226/29", *(f"192.168.38.{n}/29" for n in range(227, 231)))
        assert laptop.ping(str(CAMERA)).code == 0
        assert laptop.ping(str(CAMERA), size=1472).code == 0
        assert laptop.fetch(f"http://{CAMERA}/").out == camera.page()
        assert laptop.ssh(str(CAMERA)).out.strip() == f"ssh server of {camera.name}"


def test_l3_downloads_a_hundred_megabytes(lab: Lab) -> None:
    laptop = lab.laptops[1]
    with session(lab.masters[1], account(lab, 0), "L3"):
        laptop.dhcp()
        size = ["--output", "/dev/null", "--write-out", "%{size_download}"]
        curl = ["curl", "--silent", "--fail", "--max-time", "120", *size, f"http://{CAMERA}/{DOWNLOAD}"]
        assert laptop.run(curl, deadline=130).out == str(DOWNLOAD_BYTES)


def test_l3_a_laptop_with_a_static_address(lab: Lab) -> None:
    port = lab.laptop
    with session(lab.master, account(lab, 0), "L3"):
        port.static(IPv4Interface("192.168.38.230/29"), IPv4Address("192.168.38.225"))
        assert port.ping(str(CAMERA)).code == 0


@pytest.mark.parametrize("desk", [0, 1], ids=["other-subnet", "same-subnet-and-address"])
def test_without_a_session_the_port_leads_nowhere(lab: Lab, desk: int) -> None:
    laptop, plan = lab.laptops[desk], lab.plan.desks[desk]
    laptop.dhcp()
    for target in (plan.bystander_address, plan.lan.router.ip, CAMERA):
        assert laptop.ping(str(target), wait=1).code != 0, target


def test_in_a_session_the_support_lan_stays_out_of_reach(lab: Lab) -> None:
    laptop = lab.laptops[0]
    with session(lab.masters[0], account(lab, 0), "L3"):
        laptop.dhcp()
        assert laptop.ping(str(CAMERA)).code == 0
        assert laptop.ping(str(lab.plan.desks[0].bystander_address), wait=1).code != 0


def test_two_sessions_with_the_same_subnet_do_not_meet(lab: Lab) -> None:
    with session(lab.masters[0], account(lab, 0), "L3"), session(lab.masters[1], account(lab, 1), "L3"):
        for laptop, camera in zip(lab.laptops, lab.cameras, strict=True):
            laptop.dhcp()
            assert laptop.fetch(f"http://{CAMERA}/").out == camera.page()


def test_l2_the_customers_own_dhcp_server_gives_the_address(lab: Lab) -> None:
    laptop, camera = lab.laptop, lab.camera
    with session(lab.master, account(lab, 0), "L2"):
        lease = laptop.dhcp()
        assert lease.address.network == CUSTOMER_LAN
        assert lease.server == lab.plan.sites[0].lan.router.ip
        assert laptop.ping(str(CAMERA), size=1472).code == 0
        assert laptop.fetch(f"http://{CAMERA}/").out == camera.page()


def test_l2_broadcasts_and_frames_without_ip_pass_both_ways(lab: Lab) -> None:
    with session(lab.master, account(lab, 0), "L2"):
        lab.laptop.dhcp()
        _frame_passes(lab.laptop, lab.camera)
        _frame_passes(lab.camera, lab.laptop)


def _frame_passes(sender: Host, receiver: Host) -> None:
    """A broadcast frame of no protocol that anybody knows, from eth0 to eth0."""
    payload = f"from {sender.name}".encode().ljust(46, b"\0")
    with inside(receiver.netns, _raw) as ears, inside(sender.netns, _raw) as mouth:
        frame = b"\xff" * 6 + mouth.getsockname()[4] + struct.pack("!H", ETHERTYPE) + payload
        ears.settimeout(5)
        mouth.send(frame)
        assert ears.recv(2048) == frame


def _raw() -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    raw.bind(("eth0", ETHERTYPE))
    return raw


@pytest.mark.parametrize("mode", ["L3", "L2"])
def test_the_rdvs_own_network_is_never_touched(lab: Lab, mode: str) -> None:
    before = lab.snapshots()["rdv"].network()
    with session(lab.master, account(lab, 0), mode):
        lab.laptop.dhcp()
        assert lab.laptop.ping(str(CAMERA)).code == 0
        assert [row["state"] for row in listed(lab)] == ["up"]
        assert lab.snapshots()["rdv"].network() == before
    assert lab.snapshots()["rdv"].network() == before


def test_the_time_limit_ends_a_session(lab: Lab) -> None:
    told = lab.master.run(["masterdev", "connect", account(lab, 0), "-t", "2"], deadline=60)
    assert "the time limit of 2 s is over" in told.out


def test_ctrl_c_ends_a_session(lab: Lab) -> None:
    with lab.master.start(["masterdev", "connect", account(lab, 0)]) as command:
        command.wait_line("Ctrl-C ends the session", deadline=30)
        command.signal(signal.SIGINT)
        command.wait_line("disconnected", deadline=30)


def test_the_admin_drops_a_session_and_the_technician_learns_why(lab: Lab) -> None:
    with lab.master.start(["masterdev", "connect", account(lab, 0)]) as command:
        command.wait_line("Ctrl-C ends the session", deadline=30)
        (row,) = listed(lab)
        drop = ["rdv-admin", "session", "drop", account(lab, 0), "--reason", "maintenance", "--json"]
        assert json.loads(lab.rdv.run(drop).out) == {"id": row["id"], "dropped": True}
        command.wait_line("maintenance", deadline=10)
    wait_until(lambda: not listed(lab), what="no session")
