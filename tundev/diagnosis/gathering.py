"""What the walk looks at itself: the configuration, the bus, the kernel, the network. It changes nothing."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace
from pathlib import Path as File

from tundev import lan, paths, portal, reach, settings
from tundev.client import AgentClient, PortClient
from tundev.config import Rdv
from tundev.contract import Key
from tundev.diagnosis import path_mtu
from tundev.diagnosis.facts import Bridge, Facts, Way
from tundev.states import ONLINE
from tundev.transport import Hop, Route, Routes, all_failed, first_hop, tls_way, try_tls
from tundev.uplinks.probe import BANNER_LIMIT
from vtunlib import probe
from vtunlib.errors import ConfigError, NotRunning, ProtocolError, RdvError, RdvUnreachable, Timeout
from vtunlib.network import carrier
from vtunlib.threads import left_behind
from vtunlib.tunnel import Role, TunnelMode

SECONDS = 5.0
"""For each of: TCP, the SSH server's first line."""
TLS_SECONDS = 20.0
"""For the proxy's answer and the handshake: a person waits."""
_SYSFS = File("/sys/class/net")


async def nothing(_facts: Facts, _agent: AgentClient) -> None:
    """For a step that is judged by what is known already."""


async def agent(facts: Facts, agent: AgentClient) -> None:
    """The agent's word, as it is by now."""
    try:
        facts.status = await agent.status()
    except (ConfigError, NotRunning):
        facts.status = None


async def configuration(facts: Facts, _agent: AgentClient) -> None:
    """The file, read as the agent does."""
    try:
        facts.config = settings.load().config
    except ConfigError as error:
        facts.fault = error


async def port(facts: Facts, agent: AgentClient) -> None:
    """The technician's port, by its watcher."""
    facts.port = await PortClient(agent.bus).port()


async def uplink(facts: Facts, _agent: AgentClient) -> None:
    """The interface of the default route, and the router."""
    facts.uplink, facts.gateway = await asyncio.to_thread(_uplink)


def _uplink() -> tuple[lan.Uplink | None, str]:
    from pyroute2 import IPRoute

    with IPRoute() as ipr:
        return lan.find_uplink(ipr), lan.find_gateway(ipr)


async def bridge(facts: Facts, _agent: AgentClient) -> None:
    """The onsite's bridge and its ports."""
    ports = _SYSFS / paths.LAN_BRIDGE / "brif"
    names = sorted(port.name for port in ports.iterdir()) if ports.is_dir() else []
    plugged = [name for name in names if name != paths.LEG and await asyncio.to_thread(carrier, None, name)]
    facts.bridge = Bridge(ports.is_dir(), tuple(plugged))


async def dns(facts: Facts, _agent: AgentClient) -> None:
    """The name of what is dialled first: a proxy's may be known where the server's is not."""
    facts.resolvers = [str(address) for address in await asyncio.to_thread(lan.dns_servers)]
    hops = {hop.host: hop for hop in (first_hop(_rdv(facts), route) for route in _routes(facts))}
    failure: RdvError | None = None
    for facts.name, hop in hops.items():
        try:
            facts.addresses = await reach.resolve(hop)
        except RdvError as error:
            failure = error
        else:
            return
    assert failure is not None
    facts.unresolved = await portal.explained(failure, _rdv(facts).server.host)


async def server(facts: Facts, _agent: AgentClient) -> None:
    """TCP by each way; where none is open, whether a captive portal is why."""
    routes = _routes(facts)
    ways = await asyncio.gather(*(_dialled(first_hop(_rdv(facts), route)) for route in routes))
    facts.ways = dict(zip(routes, ways, strict=True))
    failures = {route: way.error for route, way in facts.ways.items() if way.error is not None}
    if len(failures) == len(routes):
        facts.explanation = await portal.explained(all_failed(failures), _rdv(facts).server.host)


async def _dialled(hop: Hop) -> Way:
    text = f"{hop.host}:{hop.port}"
    try:
        return Way(text, address=await reach.dial(hop, await reach.resolve(hop), SECONDS))
    except RdvError as error:
        return Way(text, error)


async def transport(facts: Facts, agent_client: AgentClient) -> None:
    """What is spoken on each open way; not asked where the agent is connected, for that says it all."""
    await agent(facts, agent_client)
    if facts.status is not None and facts.status.get(Key.STATE) in ONLINE:
        return
    for route, way in facts.ways.items():
        if way.error is None:
            facts.ways[route] = await _spoken(_rdv(facts), route, way)


async def _spoken(rdv: Rdv, route: Route, way: Way) -> Way:
    try:
        if route is Route.SSH:
            await _banner(way.address, first_hop(rdv, route).port, way.text)
            return way
        async with asyncio.timeout(TLS_SECONDS):
            oddity = await left_behind(try_tls, tls_way(rdv, route, way.address))
        return replace(way, oddity=oddity)
    except TimeoutError:
        return replace(way, refused=Timeout(f"{way.text} takes a connection and then says nothing"))
    except RdvError as error:
        return replace(way, refused=error)


async def _banner(address: str, port: int, text: str) -> None:
    """Raises RdvError where no SSH server answers."""
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                line = await reader.read(BANNER_LIMIT)
            finally:
                writer.close()
    except TimeoutError:
        raise
    except OSError as error:
        raise RdvUnreachable(f"{text}: {error.strerror or error}") from None
    if not line.startswith(b"SSH-2.0-"):
        raise ProtocolError(
            f"what answers on {text} is no SSH server", "does a firewall answer in the RDV server's place?"
        )


async def tunnel(facts: Facts, agent_client: AgentClient) -> None:
    """This end's carrier."""
    await agent(facts, agent_client)
    facts.carrier = await asyncio.to_thread(carrier, None, paths.LEG)


async def gateway(facts: Facts, _agent: AgentClient) -> None:
    """Whether the router answers ARP, as everything on an Ethernet must, or else an echo."""
    assert facts.uplink is not None
    if not facts.gateway:
        return
    address = ipaddress.IPv4Address(facts.gateway)
    try:
        answer = await probe.arp_probe(address, facts.uplink.link)
        facts.gateway_answers = answer is not None or await probe.ping(address) is not None
    except RdvError:
        facts.gateway_answers = None


async def mtu(facts: Facts, _agent: AgentClient) -> None:
    """The largest packet to the RDV server, and from the master through the tunnel in L3."""
    opened = [way.address for way in facts.ways.values() if way.address]
    facts.uplink_path = await path_mtu.measured(opened[0])
    status = facts.status or {}
    if (
        facts.role is Role.MASTER
        and status.get(Key.MODE) == TunnelMode.L3
        and status.get(Key.RTT_MS) is not None
        and Key.LAN in status
    ):
        far = ipaddress.IPv4Interface(status[Key.LAN]).ip
        facts.tunnel_path = await path_mtu.measured(str(far), paths.LEG)


def _rdv(facts: Facts) -> Rdv:
    assert facts.config is not None
    return facts.config.rdv


def _routes(facts: Facts) -> tuple[Route, ...]:
    return Routes(_rdv(facts)).all
