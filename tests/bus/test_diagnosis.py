"""What the walk finds out by itself, against servers on this machine; no agent is on the bus."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Interface

import pytest

from tundev.client import AgentClient
from tundev.config import Config, Rdv
from tundev.config_values import Server, Transport
from tundev.diagnosis import gathering, judging
from tundev.diagnosis.facts import Facts
from tundev.diagnosis.findings import Verdict
from tundev.lan import Uplink
from vtunlib import bus as buses
from vtunlib.tunnel import Role

pytestmark = pytest.mark.usefixtures("system_bus")


def test_where_something_else_answers_in_the_server_s_place_the_path_to_it_is_measured() -> None:
    """A firewall that takes every connection, and no way leads past it."""

    async def page(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()

    async def look() -> Facts:
        bus = await buses.connect()
        try:
            async with await asyncio.start_server(page, "127.0.0.1", 0) as firewall:
                port = firewall.sockets[0].getsockname()[1]
                rdv = Rdv(Server("127.0.0.1", port), "rpi1200", "ssh-ed25519 AAAA", transport=Transport.SSH)
                facts = Facts(Role.MASTER, Config(rdv), uplink=Uplink("lo", IPv4Interface("127.0.0.1/8")))
                agent = AgentClient(bus, Role.MASTER)
                for gather in (gathering.server, gathering.transport, gathering.mtu):
                    await gather(facts, agent)
                return facts
        finally:
            bus.disconnect()

    facts = asyncio.run(look())
    assert judging.server(facts).verdict is Verdict.OK
    told = judging.transport(facts)
    assert told.verdict is Verdict.FAILED and "no SSH server" in told.text
    assert "to the RDV server packets of" in judging.mtu(facts).text
