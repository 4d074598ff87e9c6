"""The real vtund takes both texts, in both modes, without a right of its own."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.netns.conftest import MakeNamespace
from vtunlib.namespace import inside
from vtunlib.network import Address, LinkUp, Network, Tun, carrier, watch_carriers
from vtunlib.probe import arp_probe, ping
from vtunlib.tunnel import TunnelMode, VtunParameters
from vtunlib.vtund_conf import LEG_PORT, client_config, server_config

SECONDS = 45
NO_RIGHTS = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all",
    "--inh-caps=-all",
]


def parameters() -> VtunParameters:
    return VtunParameters(
        tunnel_ip_network=IPv4Address("10.200.0.0"),
        tunnel_ip_prefix=30,
        tunnelling_dev_ip_address=IPv4Address("10.200.0.2"),
        rdv_server_ip_address=IPv4Address("10.200.0.1"),
        tunnel_name="rdv-1f2e3d4c",
        tunnel_secret=secrets.token_hex(32),
    )


@dataclass
class Leg:
    """vtund at both ends, and the relay between them, as systemd and ssh have it in the product."""

    rdv: str
    device: str
    directory: Path
    stack: ExitStack
    server: subprocess.Popen[bytes]
    relay: subprocess.Popen[bytes]
    client: subprocess.Popen[bytes]

    @classmethod
    def open(
        cls, rdv: str, device: str, directory: Path, stack: ExitStack, server_text: str, client_text: str
    ) -> Leg:
        """Start all three; the tunnels' devices are there already."""
        texts = {"server": server_text, "client": client_text}
        for name, text in texts.items():
            (directory / name).write_text(text)
        listener = stack.enter_context(inside(device, socket.create_server, ("127.0.0.1", LEG_PORT)))
        listener.settimeout(SECONDS)
        client_argv = [
            "-n",
            "-f",
            str(directory / "client"),
            "-P",
            str(LEG_PORT),
            "rdv-1f2e3d4c",
            "127.0.0.1",
        ]
        client = cls._vtund(stack, device, client_argv)
        connection, _ = listener.accept()
        ours, theirs = socket.socketpair()
        with connection, ours, theirs:
            server = cls._vtund(stack, rdv, ["-i", "-f", str(directory / "server")], theirs)
            fds = (connection.fileno(), ours.fileno())
            relay = cls._started(stack, ["socat", *(f"FD:{fd}" for fd in fds)], pass_fds=fds)
        return cls(rdv, device, directory, stack, server, relay, client)

    @classmethod
    def _vtund(
        cls, stack: ExitStack, namespace: str, words: list[str], stdin: socket.socket | None = None
    ) -> subprocess.Popen[bytes]:
        argv = ["ip", "netns", "exec", namespace, *NO_RIGHTS, "/usr/sbin/vtund", *words]
        return cls._started(stack, argv, stdin=stdin)

    @staticmethod
    def _started(
        stack: ExitStack, argv: list[str], stdin: socket.socket | None = None, pass_fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        null = subprocess.DEVNULL
        process = subprocess.Popen(
            argv, stdin=stdin.fileno() if stdin else null, stdout=null, stderr=null, pass_fds=pass_fds
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process


@asynccontextmanager
async def ends(rdv: str, device: str) -> AsyncIterator[Ends]:
    """Watches both ends' carriers, nothing attached yet."""
    async with asyncio.timeout(SECONDS):
        rdv_end = aclosing(watch_carriers(rdv, {"onsite"}))
        device_end = aclosing(watch_carriers(device, {"tundev-leg"}))
        async with rdv_end as one, device_end as other:
            yield Ends(one, other)


@dataclass
class Ends:
    """The changes of both ends."""

    rdv: AsyncIterator[tuple[str, bool]]
    device: AsyncIterator[tuple[str, bool]]

    async def are(self, up: bool) -> None:
        """Wait for the next change of each, which must be this one."""
        assert await anext(self.rdv) == ("onsite", up)
        assert await anext(self.device) == ("tundev-leg", up)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def namespaces(make_namespace: MakeNamespace) -> tuple[str, str]:
    return make_namespace(), make_namespace()


def make_ends(namespaces: tuple[str, str], mode: TunnelMode, leg: VtunParameters) -> None:
    rdv, device = namespaces
    Network(rdv).set([Tun("onsite", mode, leg.tunnel_mtu), Address("onsite", leg.rdv_interface)])
    own = [LinkUp("lo"), Tun("tundev-leg", mode, leg.tunnel_mtu), Address("tundev-leg", leg.device_interface)]
    Network(device).set(own)


def large_ping(namespace: str, address: IPv4Address) -> None:
    """1472 bytes, a whole Ethernet frame, not to be fragmented."""
    argv = ["ip", "netns", "exec", namespace, "ping", "-c1", "-W5", "-M", "do", "-s", "1472", str(address)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("mode", TunnelMode)
def test_a_leg_comes_up_carries_whole_frames_and_ends(
    mode: TunnelMode, namespaces: tuple[str, str], open_directory: Path, stack: ExitStack
) -> None:
    leg = parameters()
    rdv, device = namespaces
    make_ends(namespaces, mode, leg)

    async def main() -> None:
        async with ends(rdv, device) as both:
            await both.are(False)
            texts = server_config(leg, mode, "onsite"), client_config(leg, mode, "tundev-leg", LEG_PORT)
            opened = Leg.open(rdv, device, open_directory, stack, *texts)
            await both.are(True)
            assert await ping(leg.tunnelling_dev_ip_address, namespace=rdv, link="onsite") is not None
            large_ping(rdv, leg.tunnelling_dev_ip_address)
            large_ping(device, leg.rdv_server_ip_address)
            if mode is TunnelMode.L2:
                assert await arp_probe(leg.rdv_server_ip_address, "tundev-leg", namespace=device) is not None
            opened.server.terminate()
            await both.are(False)
            assert opened.client.wait(SECONDS) == 0

    asyncio.run(main())


@pytest.mark.parametrize("victim", ["server", "relay", "client"])
def test_the_sudden_death_of_any_part_ends_both_ends(
    victim: str, namespaces: tuple[str, str], open_directory: Path, stack: ExitStack
) -> None:
    leg = parameters()
    rdv, device = namespaces
    make_ends(namespaces, TunnelMode.L3, leg)

    async def main() -> None:
        async with ends(rdv, device) as both:
            await both.are(False)
            mode = TunnelMode.L3
            texts = server_config(leg, mode, "onsite"), client_config(leg, mode, "tundev-leg")
            opened = Leg.open(rdv, device, open_directory, stack, *texts)
            await both.are(True)
            getattr(opened, victim).send_signal(signal.SIGKILL)
            await both.are(False)

    asyncio.run(main())


def test_a_relay_that_stands_still_is_noticed_by_both_ends(
    namespaces: tuple[str, str], open_directory: Path, stack: ExitStack
) -> None:
    leg = parameters()
    rdv, device = namespaces
    make_ends(namespaces, TunnelMode.L3, leg)

    async def main() -> None:
        async with ends(rdv, device) as both:
            await both.are(False)
            mode = TunnelMode.L3
            texts = server_config(leg, mode, "onsite"), client_config(leg, mode, "tundev-leg")
            opened = Leg.open(rdv, device, open_directory, stack, *texts)
            await both.are(True)
            opened.relay.send_signal(signal.SIGSTOP)
            await both.are(False)  # within SECONDS

    asyncio.run(main())


@pytest.mark.parametrize("mode", TunnelMode)
def test_another_secret_is_refused(
    mode: TunnelMode, namespaces: tuple[str, str], open_directory: Path, stack: ExitStack
) -> None:
    leg = parameters()
    rdv, device = namespaces
    make_ends(namespaces, mode, leg)
    other = replace(leg, tunnel_secret=secrets.token_hex(32))
    texts = server_config(leg, mode, "onsite"), client_config(other, mode, "tundev-leg")
    opened = Leg.open(rdv, device, open_directory, stack, *texts)
    assert opened.client.wait(SECONDS) == 0  # vtund knows no other status
    opened.server.wait(SECONDS)
    assert not carrier(rdv, "onsite")
    assert not carrier(device, "tundev-leg")


def test_a_secret_of_digits_only_is_no_number(
    namespaces: tuple[str, str], open_directory: Path, stack: ExitStack
) -> None:
    leg = replace(parameters(), tunnel_secret="1234567890" * 6 + "1234")
    rdv, device = namespaces
    make_ends(namespaces, TunnelMode.L3, leg)

    async def main() -> None:
        async with ends(rdv, device) as both:
            await both.are(False)
            mode = TunnelMode.L3
            texts = server_config(leg, mode, "onsite"), client_config(leg, mode, "tundev-leg")
            Leg.open(rdv, device, open_directory, stack, *texts)
            await both.are(True)

    asyncio.run(main())
