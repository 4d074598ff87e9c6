"""What answers is found, with its time; what does not is None, in time."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

import pytest

from tests.netns.conftest import MakeNamespace, ip, open_descriptors
from vtunlib.errors import NotFound, RdvError
from vtunlib.probe import arp_probe, ping

HERE, THERE, NOBODY = (IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3))
MAC = "02:00:00:00:00:02"
T = TypeVar("T")


@pytest.fixture
def wire(make_namespace: MakeNamespace) -> tuple[str, str]:
    """Two namespaces joined by the link `wire`, THERE at the second."""
    here, there = make_namespace(), make_namespace()
    ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", there, namespace=here)
    ip("link", "set", "wire", "address", MAC, namespace=there)
    ip("address", "add", f"{THERE}/24", "dev", "wire", namespace=there)
    for namespace in (here, there):
        ip("link", "set", "wire", "up", namespace=namespace)
    return here, there


@pytest.fixture
def addressed(wire: tuple[str, str]) -> str:
    """The first of them, with the address HERE."""
    ip("address", "add", f"{HERE}/24", "dev", "wire", namespace=wire[0])
    return wire[0]


def timed(probe: Callable[[], Awaitable[T]]) -> tuple[T, float]:
    started = time.monotonic()

    async def main() -> T:
        return await probe()

    return asyncio.run(main()), time.monotonic() - started


def test_an_echo_is_answered(addressed: str) -> None:
    seconds, waited = timed(lambda: ping(THERE, namespace=addressed))
    assert seconds is not None
    assert 0 < seconds <= waited
    assert timed(lambda: ping(THERE, namespace=addressed, link="wire"))[0] is not None


def test_echoes_at_the_same_time_are_not_taken_for_each_other(addressed: str) -> None:
    ip("link", "set", "lo", "up", namespace=addressed)

    async def main() -> list[float | None]:
        probes = [ping(address, namespace=addressed) for address in (THERE, HERE, NOBODY) * 5]
        return await asyncio.gather(*probes)

    answered = [seconds is not None for seconds in asyncio.run(main())]
    assert answered == [True, True, False] * 5


def test_nobody_is_none_at_the_deadline(addressed: str) -> None:
    seconds, waited = timed(lambda: ping(NOBODY, namespace=addressed, deadline=0.2))
    assert seconds is None
    assert 0.2 <= waited < 2


def test_no_way_is_none_at_once(wire: tuple[str, str]) -> None:
    here, _ = wire
    for probe in (
        lambda: ping(THERE, namespace=here, deadline=30),
        lambda: ping(THERE, namespace=here, link="no-such-link", deadline=30),
        lambda: arp_probe(THERE, "no-such-link", namespace=here, deadline=30),
    ):
        answer, waited = timed(probe)
        assert answer is None
        assert waited < 5
    ip("link", "set", "wire", "down", namespace=here)
    answer, waited = timed(lambda: arp_probe(THERE, "wire", namespace=here, deadline=30))
    assert answer is None
    assert waited < 5


def test_an_arp_probe_needs_no_address_and_tells_the_station(wire: tuple[str, str]) -> None:
    answer, waited = timed(lambda: arp_probe(THERE, "wire", namespace=wire[0]))
    assert answer is not None
    seconds, mac = answer
    assert mac == MAC
    assert 0 < seconds <= waited


def test_an_arp_probe_can_ask_one_station_only(wire: tuple[str, str]) -> None:
    here, _ = wire
    assert timed(lambda: arp_probe(THERE, "wire", namespace=here, mac=MAC))[0] is not None
    other = "02:00:00:00:00:99"
    assert timed(lambda: arp_probe(THERE, "wire", namespace=here, mac=other, deadline=0.2))[0] is None


def test_an_arp_probe_leaves_no_entry_behind(wire: tuple[str, str]) -> None:
    here, there = wire
    assert timed(lambda: arp_probe(THERE, "wire", namespace=here))[0] is not None
    assert timed(lambda: arp_probe(NOBODY, "wire", namespace=here, deadline=0.2))[0] is None
    assert ip("-4", "neigh", namespace=there) == ""


def test_what_cannot_be_asked_is_told(namespace: str) -> None:
    with pytest.raises(RdvError, match="MAC"):
        timed(lambda: arp_probe(THERE, "lo", namespace=namespace, mac="02:00"))
    ip("netns", "delete", namespace)
    with pytest.raises(NotFound):
        timed(lambda: ping(THERE, namespace=namespace))


def test_without_the_right_it_is_told() -> None:
    script = (
        "import asyncio; from ipaddress import IPv4Address; from vtunlib.probe import ping\n"
        "asyncio.run(ping(IPv4Address('127.0.0.1')))"
    )
    argv = ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    root = Path(__file__).resolve().parents[2]
    argv += ["env", f"PYTHONPATH={root}", "PYTHONDONTWRITEBYTECODE=1", "/usr/bin/python3", "-c", script]
    told = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/").stderr
    assert "RdvError: an ICMP echo needs CAP_NET_RAW" in told


def test_nothing_is_left_open(addressed: str) -> None:
    timed(lambda: ping(THERE, namespace=addressed))
    before = open_descriptors()
    for address in (THERE, NOBODY):
        timed(lambda address=address: ping(address, namespace=addressed, deadline=0.1))  # type: ignore[misc]
        timed(lambda address=address: arp_probe(address, "wire", namespace=addressed, deadline=0.1))  # type: ignore[misc]
    assert open_descriptors() == before
