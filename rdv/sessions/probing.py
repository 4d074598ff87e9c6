"""The question whether a session carries traffic, asked from inside its namespace."""

from __future__ import annotations

import asyncio

from rdv.sessions import glue
from rdv.sessions.session import Session
from vtunlib import probe
from vtunlib.tunnel import TunnelMode

INTERVAL = 2.0
"""Seconds between the answered question and the next."""
FIRST_PATIENCE = 0.2
"""Seconds that the first answer is waited for; doubled up to LAST_PATIENCE each time none comes.

The first packets through a new leg may be lost, and a technician waits for them;
a mobile uplink may answer after a second.
"""
LAST_PATIENCE = 3.0


async def ask(session: Session, deadline: float) -> float | None:
    """Seconds of the round trip between master and onsite, or None without an answer in time.

    L3: the sum of both legs. L2: the RDV has no address there, so only the
    onsite's LAN address is asked for, by ARP, over the bridge.
    """
    if session.mode is TunnelMode.L2:
        answer = await probe.arp_probe(
            session.lan.ip, glue.BRIDGE, namespace=session.namespace, deadline=deadline
        )
        return None if answer is None else answer[0]
    rounds = await asyncio.gather(
        *(
            probe.ping(
                leg.parameters.tunnelling_dev_ip_address, namespace=session.namespace, deadline=deadline
            )
            for leg in (session.onsite, session.master)
        )
    )
    times = [seconds for seconds in rounds if seconds is not None]
    return sum(times) if len(times) == len(rounds) else None
