"""What a path carries: found also where it loses large packets without a word."""

from __future__ import annotations

import sys

import pytest

from tests.netns.conftest import MakeNamespace, ip
from tests.unit.test_architecture import ROOT
from vtunlib.run import run

HERE, THERE = "192.0.2.1", "198.51.100.2"
_MEASURE = f"""
import asyncio
from tundev.diagnosis.path_mtu import measured
path = asyncio.run(measured("{THERE}"))
print(path.largest, path.known)
"""


@pytest.fixture
def routed(make_namespace: MakeNamespace) -> tuple[str, str]:
    """A host's namespace and its router's; THERE is behind that."""
    here, router, there = make_namespace(), make_namespace(), make_namespace()
    for near, far, subnet in ((here, router, "192.0.2"), (router, there, "198.51.100")):
        name = "out" if near == router else "wire"
        ip("link", "add", name, "type", "veth", "peer", "name", "wire", "netns", far, namespace=near)
        ip("address", "add", f"{subnet}.1/24", "dev", name, namespace=near)
        ip("address", "add", f"{subnet}.2/24", "dev", "wire", namespace=far)
        ip("link", "set", name, "up", namespace=near)
        ip("link", "set", "wire", "up", namespace=far)
    ip("route", "add", "default", "via", "192.0.2.2", namespace=here)
    ip("route", "add", "default", "via", "198.51.100.1", namespace=there)
    run(["ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
    return here, router


def measured(namespace: str) -> tuple[int, int]:
    """The largest packet that passed, and what the kernel keeps to."""
    program = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-c", _MEASURE]
    largest, known = run(["ip", "netns", "exec", namespace, *program]).split()
    return int(largest), int(known)


def test_a_path_for_whole_packets(routed: tuple[str, str]) -> None:
    assert measured(routed[0]) == (1500, 1500)


def test_a_hop_that_says_what_it_carries(routed: tuple[str, str]) -> None:
    here, router = routed
    ip("link", "set", "out", "mtu", "1431", namespace=router)
    assert measured(here) == (1431, 1431)


def test_a_hop_that_drops_large_packets_without_a_word(routed: tuple[str, str]) -> None:
    here, router = routed
    rules = (
        "table ip hole { chain forward { type filter hook forward priority 0; meta length > 1400 drop; }; }"
    )
    run(["ip", "netns", "exec", router, "nft", rules])
    assert measured(here) == (1400, 1500)


def test_nobody_there(routed: tuple[str, str]) -> None:
    here, router = routed
    ip("link", "set", "out", "down", namespace=router)
    assert measured(here)[0] == 0
