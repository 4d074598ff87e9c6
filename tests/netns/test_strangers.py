"""Whose network is on the technician's port: real servers, switches and clients at the end of its cable."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.netns.conftest import MakeNamespace, ip, open_descriptors
from tundev.port import strangers
from tundev.port.strangers import Kind, Stranger
from vtunlib.errors import NotFound
from vtunlib.namespace import inside

SECONDS = 20
PORT, SOCKET = "port0", "wall0"
"""The adapter, and what its cable is plugged into."""

T = TypeVar("T")


@pytest.fixture
def master(namespace: str) -> str:
    """The master's namespace, with the adapter."""
    ip("link", "set", "lo", "up", namespace=namespace)
    return namespace


@pytest.fixture
def desk(master: str, make_namespace: MakeNamespace) -> str:
    """The namespace at the other end of the adapter's cable; there is nothing else in it."""
    name = make_namespace()
    wire(master, PORT, name, SOCKET)
    return name


def wire(master: str, link: str, desk: str, peer: str) -> None:
    """A cable whose ends are up, in two namespaces."""
    ip("link", "add", link, "type", "veth", "peer", "name", peer, "netns", desk, namespace=master)
    ip("link", "set", peer, "up", namespace=desk)
    ip("link", "set", link, "up", namespace=master)


def bridge(desk: str, *ports: str, options: tuple[str, ...] = ()) -> None:
    """A switch at the desk."""
    ip("link", "add", "switch", "type", "bridge", *options, namespace=desk)
    for port in ports:
        ip("link", "set", port, "master", "switch", namespace=desk)
    ip("link", "set", "switch", "up", namespace=desk)


@contextmanager
def dnsmasq(namespace: str, link: str, address: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A DHCP server that is ready; it logs to its standard error."""
    ip("addr", "add", f"{address}/24", "dev", link, namespace=namespace)
    network = address.rsplit(".", 1)[0]
    argv = ["ip", "netns", "exec", namespace, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"]
    argv += [
        "--port=0",
        "--log-facility=-",
        "--leasefile-ro",
        "--pid-file",
        "--user=root",
        f"--interface={link}",
    ]
    argv += [f"--dhcp-range={network}.100,{network}.150,2m", "--bind-dynamic", *options]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            while "IP range" not in server.stderr.readline():
                assert server.poll() is None
            yield server
        finally:
            server.kill()


def dhclient(namespace: str, link: str, directory: Path, *how: str) -> list[str]:
    """A laptop's DHCP client, which changes nothing."""
    files = ["-lf", str(directory / "leases"), "-pf", str(directory / "pid")]
    return ["ip", "netns", "exec", namespace, "dhclient", *how, "-sf", "/bin/true", *files, link]


def run_in(namespace: str, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `main` returns, run in the namespace, within SECONDS."""

    async def limited() -> T:
        async with asyncio.timeout(SECONDS):
            return await main()

    return inside(namespace, lambda: asyncio.run(limited()))


def look(namespace: str, **how: Any) -> Stranger | None:
    return run_in(namespace, lambda: strangers.look(PORT, **how))


@pytest.mark.usefixtures("desk")
def test_nobody_is_found_where_nobody_is(master: str) -> None:
    assert look(master) is None


def test_a_laptop_that_asks_for_an_address_is_no_stranger(master: str, desk: str, tmp_path: Path) -> None:
    with subprocess.Popen(dhclient(desk, SOCKET, tmp_path, "-d"), stderr=subprocess.DEVNULL) as laptop:
        try:
            assert look(master) is None
            assert laptop.poll() is None
        finally:
            laptop.kill()


def test_the_dhcp_server_of_an_office_is_found_before_it_pings_what_it_offers(master: str, desk: str) -> None:
    with dnsmasq(desk, SOCKET, "192.168.77.1", "--dhcp-authoritative"):
        found = look(master)
    assert found is not None and found.kind is Kind.DHCP and "192.168.77.1" in found.text


async def first_found() -> Stranger:
    """The first whom a watch finds."""
    async with aclosing(strangers.watch(PORT)) as found:
        return await anext(found)


def test_a_server_that_is_slow_with_its_offer_is_found_by_who_goes_on_listening(
    master: str, desk: str
) -> None:
    with dnsmasq(desk, SOCKET, "192.168.77.1"):  # pings for 3 s
        assert look(master) is None
        found = run_in(master, first_found)
    assert found.kind is Kind.DHCP and "192.168.77.1" in found.text


def test_our_own_answers_are_no_strangers_and_those_of_a_server_that_comes_later_are(
    master: str, desk: str, tmp_path: Path
) -> None:
    bridge(desk, SOCKET)

    async def watch_while_a_lease_is_had() -> Stranger:
        found = asyncio.create_task(first_found())
        laptop = dhclient(desk, "switch", tmp_path, "-1", "-v")
        told = await asyncio.to_thread(
            subprocess.run, laptop, capture_output=True, text=True, timeout=SECONDS
        )
        assert "bound to 192.168.38." in told.stderr
        assert not found.done()
        with dnsmasq(desk, "switch", "192.168.77.1", "--dhcp-authoritative"):
            return await found

    with dnsmasq(master, PORT, "192.168.38.225", "--no-ping"):
        found = run_in(master, watch_while_a_lease_is_had)
    assert "192.168.77.1" in found.text


def test_a_link_that_was_down_for_a_moment_is_watched_on(master: str, desk: str) -> None:
    async def switch_off_and_on() -> Stranger:
        found = asyncio.create_task(first_found())
        await asyncio.sleep(0)
        ip("link", "set", PORT, "down", namespace=master)
        await asyncio.sleep(0)
        ip("link", "set", PORT, "up", namespace=master)
        with dnsmasq(desk, SOCKET, "192.168.77.1", "--dhcp-authoritative"):
            return await found

    assert "192.168.77.1" in run_in(master, switch_off_and_on).text


def test_an_adapter_on_the_uplinks_own_network_is_a_loop(master: str, desk: str) -> None:
    wire(master, "uplink0", desk, "wall1")
    bridge(desk, SOCKET, "wall1")
    found = look(master)
    assert found is not None and found.kind is Kind.LOOP and "uplink0" in found.text


def test_what_comes_back_on_the_adapter_itself_is_a_loop(master: str, desk: str) -> None:
    bridge(desk, SOCKET)
    subprocess.run(["bridge", "-n", desk, "link", "set", "dev", SOCKET, "hairpin", "on"], check=True)
    found = look(master)
    assert found is not None and found.kind is Kind.LOOP and "on itself" in found.text


def test_a_loop_that_is_closed_later_is_found_by_who_goes_on_asking(master: str, desk: str) -> None:
    bridge(desk, SOCKET)

    async def close_it() -> Stranger:
        found = asyncio.create_task(first_found())
        await asyncio.sleep(0)
        wire(master, "uplink0", desk, "wall1")
        ip("link", "set", "wall1", "master", "switch", namespace=desk)
        return await found

    found = run_in(master, close_it)
    assert found.kind is Kind.LOOP and "uplink0" in found.text


def test_a_switch_with_spanning_tree_is_waited_for_and_that_is_said(master: str, desk: str) -> None:
    # Its port forwards after 2 x 2 s, which is longer than the patience here.
    spanning_tree = ("stp_state", "1", "forward_delay", "200", "hello_time", "100")
    ip("link", "set", SOCKET, "down", namespace=desk)
    bridge(desk, SOCKET, options=spanning_tree)
    said: list[str] = []
    with dnsmasq(desk, "switch", "192.168.77.1", "--dhcp-authoritative"):
        ip("link", "set", SOCKET, "up", namespace=desk)
        found = look(master, patience=3.0, tell=said.append)
    assert found is not None and "192.168.77.1" in found.text
    assert len(said) == 1 and "switch" in said[0] and "40 s" in said[0]


def test_a_port_that_goes_away_meanwhile_is_told(master: str, desk: str) -> None:
    async def pull() -> None:
        looking = asyncio.ensure_future(strangers.look(PORT, patience=SECONDS))
        await asyncio.sleep(0)
        ip("link", "delete", SOCKET, namespace=desk)
        with pytest.raises(NotFound, match=PORT):
            await looking

    run_in(master, pull)
    with pytest.raises(NotFound, match=PORT):
        look(master)


@pytest.mark.usefixtures("desk")
def test_nothing_is_left_open(master: str) -> None:
    async def main() -> None:
        before = open_descriptors()
        assert await strangers.look(PORT, patience=0.1) is None
        watching = asyncio.create_task(first_found())
        await asyncio.sleep(0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        with pytest.raises(NotFound):
            await strangers.look("no-such-link")
        assert open_descriptors() == before

    run_in(master, main)
