"""dnsmasq on the technician's port: addresses for the laptop, and names.

Which servers it asks for names changes with each session, and over its D-Bus interface
(/usr/share/doc/dnsmasq-base/DBus-interface.gz): nobody's lease has to be renewed for it.
Where the bus fails they are in its configuration, and it is started anew.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence

from dbus_fast.aio.message_bus import MessageBus

from tundev import paths
from tundev.port.subnets import Subnet
from vtunlib import bus as buses
from vtunlib import units

LEASE = "2m"
"""The shortest that dnsmasq(8) gives: a laptop that misses a change comes back by itself after one minute."""

BUS_NAME = "org.rdv.TundevDhcp1"
_PATH = "/uk/org/thekelleys/dnsmasq"

log = logging.getLogger(__name__)


def config(port: str, subnet: Subnet, servers: Sequence[str] = ()) -> str:
    """The text for dnsmasq(8). servers: where it asks for names, `ADDRESS@LINK` by that link alone.

    Without any it has none until it is told on the bus.
    """
    address, network = subnet.address, subnet.network
    return "\n".join(
        [
            f"interface={port}",
            "except-interface=lo",
            "bind-dynamic",
            "no-resolv",
            "no-hosts",
            f"enable-dbus={BUS_NAME}",
            *(f"server={server}" for server in servers),
            "dhcp-authoritative",
            f"dhcp-range={network[2]},{network[-2]},{network.netmask},{LEASE}",
            f"dhcp-option=option:router,{address.ip}",
            f"dhcp-option=option:dns-server,{address.ip}",
            "leasefile-ro",
            "no-ping",
            "",
        ]
    )


def serve(port: str, text: str) -> bool:
    """Have it run on this port, and this port alone, with this configuration. True where it was started.

    Synchronous, by asyncio.to_thread. Raises RdvError.
    """
    unit, file = paths.dhcp_service(port), paths.dnsmasq_conf(port)
    stop(but=unit)
    if file.exists() and file.read_text(encoding="ascii") == text and units.is_active(unit):
        return False
    file.write_text(text, encoding="ascii")
    units.restart(unit)
    return True


def hold(port: str) -> None:
    """Have it do nothing; what is asked meanwhile is kept for it by the kernel. Synchronous. Raises RdvError.

    systemd wakes it again where it is to end (systemd.kill(5), SIGCONT).
    """
    units.send_signal(paths.dhcp_service(port), signal.SIGSTOP)


def release(port: str) -> None:
    """Have it go on. Synchronous. Raises RdvError."""
    units.send_signal(paths.dhcp_service(port), signal.SIGCONT)


def stop(*, but: str = "") -> None:
    """Stop it wherever it runs. Synchronous. Raises RdvError."""
    for unit in units.units_named(paths.DHCP_SERVICES):
        if unit != but:
            units.stop(unit)
    for file in paths.RUN.glob(paths.dnsmasq_conf("*").name):
        if paths.dhcp_service(file.stem.removeprefix("dnsmasq-")) != but:
            file.unlink(missing_ok=True)


async def ask_these(bus: MessageBus, servers: Sequence[str]) -> None:
    """From now on it asks these for names, and has forgotten what others answered. Raises RdvError."""
    # First none: dnsmasq 2.90 takes a former server's entry for a new one, and with it the index of the
    # interface that the former was bound to (domain-match.c, add_update_server).
    for list_of in ([], [[server] for server in servers]):
        await buses.call(bus, BUS_NAME, _PATH, BUS_NAME, "SetServersEx", "aas", list_of, deadline=5)
    await buses.call(bus, BUS_NAME, _PATH, BUS_NAME, "ClearCache", deadline=5)


async def on_leases(bus: MessageBus, handler: Callable[[str, str, str], None]) -> buses.Stop:
    """Call `handler` with address, MAC address and host name (may be empty) of each lease; at its end
    with an empty address.

    Raises RdvError.
    """
    stops = [
        await buses.on_signal(bus, BUS_NAME, _PATH, BUS_NAME, member, handler)
        for member in ("DhcpLeaseAdded", "DhcpLeaseUpdated")
    ]
    stops.append(
        await buses.on_signal(
            bus,
            BUS_NAME,
            _PATH,
            BUS_NAME,
            "DhcpLeaseDeleted",
            lambda _address, mac, _name: handler("", mac, ""),
        )
    )

    async def stop_all() -> None:
        for one in stops:
            await one()

    return stop_all
