"""A device with two uplinks: what the kernel tells of them, and by which the server is reached."""

from __future__ import annotations

import asyncio
import datetime
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from rdv.tls import authority
from rdv.tls.authority import Pair
from tests.netns.attach import attach
from tests.netns.conftest import MakeNamespace, ip
from tests.unit.tundev.tls_server import echo, tls
from tundev import config, lan, paths
from tundev.config_values import Server, Transport
from tundev.uplinks import names, probe
from vtunlib.errors import NameNotResolved, RdvError
from vtunlib.namespace import inside
from vtunlib.network import Network, Port, Tun, carrier
from vtunlib.tunnel import TunnelMode

SERVER, NAME, PORT = "203.0.113.10", "rdv.example.com", 2222
WIRE, MODEM = "eth0", "wwan1"
BRIDGE = paths.LAN_BRIDGE
GATEWAYS = {WIRE: "192.0.2.1", MODEM: "198.51.100.1"}
OWN = {WIRE: "192.0.2.2", MODEM: "198.51.100.2"}


@dataclass
class Device:
    """Its namespace, and those that its uplinks lead to; the server's address is in both."""

    namespace: str
    beyond: dict[str, str]

    def ways_out(self) -> list[tuple[str, int, bool]]:
        def read() -> tuple[lan.WayOut, ...]:
            with IPRoute() as ipr:
                return lan.find_ways_out(ipr)

        return [(way.uplink.link, way.metric, way.plugged) for way in inside(self.namespace, read)]


def rdv(host: str = SERVER) -> config.Rdv:
    return config.Rdv(Server(host, PORT), "rpi1100", "ssh-ed25519 AAAA", transport=Transport.SSH)


@pytest.fixture
def device(make_namespace: MakeNamespace) -> Device:
    made = Device(make_namespace(), {link: make_namespace() for link in (WIRE, MODEM)})
    ip("link", "set", "lo", "up", namespace=made.namespace)
    for number, (link, there) in enumerate(made.beyond.items(), 1):
        ip(
            *("link", "add", link, "type", "veth", "peer", "name", "router", "netns", there),
            namespace=made.namespace,
        )
        ip("address", "add", f"{OWN[link]}/24", "dev", link, namespace=made.namespace)
        for address in (f"{GATEWAYS[link]}/24", f"{SERVER}/32"):
            ip("address", "add", address, "dev", "router", namespace=there)
        ip("link", "set", "router", "up", namespace=there)
        ip("link", "set", link, "up", namespace=made.namespace)
        route = ("route", "add", "default", "via", GATEWAYS[link], "dev", link, "metric", str(100 * number))
        ip(*route, namespace=made.namespace)
    return made


Serve = Callable[[str, socket.SocketKind, str, int, Callable[[socket.socket], None]], None]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve in a namespace: a thread takes what comes, until the test ends."""
    with ExitStack() as stack:

        def begin(
            namespace: str,
            kind: socket.SocketKind,
            address: str,
            port: int,
            answer: Callable[[socket.socket], None],
        ) -> None:
            sock = inside(namespace, socket.socket, socket.AF_INET, kind)
            sock.bind((address, port))
            if kind is socket.SOCK_STREAM:
                sock.listen()

            def take() -> None:
                with suppress(OSError):
                    while True:
                        answer(sock)

            thread = threading.Thread(target=take, daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(sock.close)
            stack.callback(_wake, sock)

        yield begin


def _wake(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def ssh_server(line: bytes) -> Callable[[socket.socket], None]:
    def answer(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(line)

    return answer


def dns_server(*addresses: str) -> Callable[[socket.socket], None]:
    """Knows one name, or none."""

    def answer(sock: socket.socket) -> None:
        question, peer = sock.recvfrom(512)
        if not question:
            raise OSError
        found = [socket.inet_aton(address) for address in addresses]
        header = question[:2] + struct.pack(">HHHHH", 0x8180 if found else 0x8183, 1, len(found), 0, 0)
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + one for one in found)
        sock.sendto(header + question[12:] + records, peer)

    return answer


def tls_server(pair: Pair, folder: Path) -> Callable[[socket.socket], None]:
    handle = tls(pair, folder, echo)

    def answer(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer, suppress(OSError):
            handle(peer)

    return answer


def failure(device: Device, link: str, host: str = SERVER, servers: tuple[str, ...] = ()) -> str:
    return failure_of(rdv(host), device, link, servers)


def failure_of(server: config.Rdv, device: Device, link: str, servers: tuple[str, ...] = ()) -> str:
    try:
        inside(device.namespace, probe.look, server, link, servers)
    except RdvError as error:
        return error.message
    return ""


def test_an_uplink_reaches_the_server_whatever_the_routes_prefer(device: Device, serve: Serve) -> None:
    serve(device.beyond[MODEM], socket.SOCK_STREAM, SERVER, PORT, ssh_server(b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert failure(device, MODEM) == ""
    assert "refused" in failure(device, WIRE)


def test_what_answers_in_the_servers_place_is_not_the_server(device: Device, serve: Serve) -> None:
    serve(device.beyond[WIRE], socket.SOCK_STREAM, SERVER, PORT, ssh_server(b"HTTP/1.1 302 Found\r\n"))
    assert "no SSH server" in failure(device, WIRE)


def test_the_name_is_asked_of_the_uplinks_own_servers(device: Device, serve: Serve) -> None:
    """The other uplink's server, at the address of its own, knows it as somebody else."""
    serve(device.beyond[MODEM], socket.SOCK_STREAM, SERVER, PORT, ssh_server(b"SSH-2.0-OpenSSH_9.2\r\n"))
    serve(device.beyond[MODEM], socket.SOCK_DGRAM, GATEWAYS[MODEM], 53, dns_server(SERVER))
    serve(device.beyond[WIRE], socket.SOCK_DGRAM, GATEWAYS[WIRE], 53, dns_server("192.0.2.99"))
    asked = (NAME, (GATEWAYS[WIRE],), WIRE)
    assert inside(device.namespace, names.addresses, *asked) == ["192.0.2.99"]
    assert failure(device, MODEM, NAME, (GATEWAYS[MODEM],)) == ""


def test_a_question_for_the_name_leaves_by_the_uplink_that_it_is_for(device: Device, serve: Serve) -> None:
    """Both networks have a DNS server at the very same address, and the routes lead to one of them."""
    everywhere, told = "203.0.113.53", {WIRE: "192.0.2.99", MODEM: SERVER}
    for link, there in device.beyond.items():
        ip("address", "add", f"{everywhere}/32", "dev", "router", namespace=there)
        serve(there, socket.SOCK_DGRAM, everywhere, 53, dns_server(told[link]))
    for link, address in told.items():
        assert inside(device.namespace, names.addresses, NAME, (everywhere,), link) == [address]


def test_a_certificate_that_is_not_the_servers_is_no_way_to_it(
    device: Device, serve: Serve, tmp_path: Path
) -> None:
    """As a portal shows that takes all connections, or a firewall that looks into TLS."""
    now, port = datetime.datetime.now(datetime.UTC), 8443
    ours, theirs = (authority.make_ca(name, now) for name in ("the RDV", "Example Portal"))
    by_tls = replace(rdv(), server=Server(SERVER, port), transport=Transport.TLS, ca_cert=ours.certificate)
    for link, ca in ((WIRE, theirs), (MODEM, ours)):
        answer = tls_server(authority.issue(ca, [SERVER], now), tmp_path)
        serve(device.beyond[link], socket.SOCK_STREAM, SERVER, port, answer)
    assert "Example Portal" in failure_of(by_tls, device, WIRE)
    assert failure_of(by_tls, device, MODEM) == ""


def test_each_address_of_the_name_is_tried_as_the_agent_does(device: Device, serve: Serve) -> None:
    serve(device.beyond[MODEM], socket.SOCK_STREAM, SERVER, PORT, ssh_server(b"SSH-2.0-OpenSSH_9.2\r\n"))
    serve(device.beyond[MODEM], socket.SOCK_DGRAM, GATEWAYS[MODEM], 53, dns_server(GATEWAYS[MODEM], SERVER))
    assert failure(device, MODEM, NAME, (GATEWAYS[MODEM],)) == ""


def test_a_name_that_no_server_tells_is_told_with_the_uplink(device: Device) -> None:
    with pytest.raises(NameNotResolved, match=MODEM):
        inside(device.namespace, names.addresses, NAME, (GATEWAYS[MODEM],), MODEM)


def test_the_uplinks_come_by_their_metric_and_each_with_its_cable(device: Device) -> None:
    assert device.ways_out() == [(WIRE, 100, True), (MODEM, 200, True)]
    ip("link", "set", "router", "down", namespace=device.beyond[WIRE])
    assert device.ways_out() == [(WIRE, 100, False), (MODEM, 200, True)]


def networks(device: Device) -> tuple[str | None, str | None]:
    """Names of the uplink and of the network that a session is given."""

    async def first() -> lan.Networks:
        async with aclosing(lan.watch_networks()) as found:  # type: ignore[type-var]
            return await anext(found)

    told = inside(device.namespace, lambda: asyncio.run(first()))
    uplink, network = told.uplink, told.lan
    return uplink.link if uplink else None, network.link if network else None


def bridge_the_wire(device: Device) -> None:
    lines = (
        f"link add {BRIDGE} type bridge",
        f"address flush dev {WIRE}",
        f"link set {WIRE} master {BRIDGE} up",
        f"address add {OWN[WIRE]}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
    )
    for line in lines:
        ip(*line.split(), namespace=device.namespace)


def test_by_the_modem_a_session_is_given_the_network_that_the_cable_leads_to(device: Device) -> None:
    bridge_the_wire(device)
    assert networks(device) == (MODEM, BRIDGE)
    ip("link", "set", "router", "down", namespace=device.beyond[WIRE])
    assert networks(device) == (MODEM, MODEM)


def test_a_sessions_tap_is_no_cable(device: Device) -> None:
    bridge_the_wire(device)
    ip("link", "set", "router", "down", namespace=device.beyond[WIRE])
    network = Network(device.namespace)
    network.set([Tun(paths.LEG, TunnelMode.L2), Port(paths.LEG, BRIDGE)])
    tap = inside(device.namespace, attach, paths.LEG, TunnelMode.L2)
    try:
        assert inside(device.namespace, carrier, None, BRIDGE)
        assert networks(device) == (MODEM, MODEM)
    finally:
        tap.close()
        network.set([])
