"""A session to look at."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress

from rdv.access.reach import ALL, Reach
from rdv.sessions import addresses
from rdv.sessions.session import Leg, Session
from vtunlib.tunnel import TunnelMode, VtunParameters


def leg(account: str, uid: int, network: addresses.LegNetwork) -> Leg:
    parameters = VtunParameters(
        network.network.network_address,
        network.network.prefixlen,
        network.device,
        network.rdv,
        f"rdv-{account}",
        f"{uid:064x}",
    )
    return Leg(account, uid, parameters)


def session(mode: TunnelMode = TunnelMode.L3, reach: Reach = ALL) -> Session:
    """Of m1 with o1."""
    onsite, master = addresses.choose([])
    return Session(
        id="0123abcd",
        mode=mode,
        onsite=leg("o1", 1001, onsite),
        master=leg("m1", 1002, master),
        lan=ipaddress.IPv4Interface("192.168.1.2/24"),
        dns=(ipaddress.IPv4Address("192.168.1.1"),),
        rule="1",
        reach=reach,
        reason='ticket "4711" für Bühler',
        born=datetime.datetime(2026, 11, 23, 9, 0, tzinfo=datetime.UTC),
    )


def other(one: Session, number: str) -> Session:
    """The same under another id."""
    return dataclasses.replace(one, id=number)
