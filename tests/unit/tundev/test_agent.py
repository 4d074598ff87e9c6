"""When an agent gives a connection up because this device is elsewhere on the network now."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Interface

import pytest

from tundev import config
from tundev.config import Rdv
from tundev.config_values import Server
from tundev.contract import Key
from tundev.lan import Uplink
from tundev.onsitedev import OnsiteAgent
from tundev.settings import Settings
from vtunlib.errors import RdvUnreachable

HERE, THERE = (Uplink("eth0", IPv4Interface(f"192.0.2.{host}/24")) for host in (1, 2))


def agent() -> OnsiteAgent:
    rdv = Rdv(Server("rdv.example.com"), "rpi1100", "ssh-ed25519 AAAA")
    return OnsiteAgent(Settings(config.Config(rdv)))


async def held(*uplinks: Uplink | None) -> str:
    """How a connection ends that was dialled from HERE, while the uplink becomes each of these."""
    made = agent()
    made._dialled_from = HERE
    over = asyncio.Event()

    async def move() -> None:
        for uplink in uplinks:
            made.uplink = uplink
            made._uplink_changed.set()
            await asyncio.sleep(0)
        if uplinks[-1] == HERE:  # otherwise nothing but the move ends it
            over.set()

    made.uplink = uplinks[0]
    moving = asyncio.create_task(move())
    try:
        async with asyncio.timeout(10):
            await made._until_moved(over.wait())
    except RdvUnreachable as error:
        return error.message
    finally:
        await moving
    return "served"


@pytest.mark.parametrize(
    ("uplinks", "ended"),
    [
        ((HERE, None, HERE), "served"),
        ((THERE,), "the uplink changed"),
        ((HERE, THERE), "the uplink changed"),
        ((HERE, None, THERE), "the uplink changed"),
    ],
    ids=["back-again", "while-it-dialled", "while-it-served", "after-a-gap"],
)
def test_a_connection_lives_as_long_as_the_address_it_was_dialled_from(
    uplinks: tuple[Uplink | None, ...], ended: str
) -> None:
    assert asyncio.run(held(*uplinks)) == ended


def test_a_connection_is_of_the_uplink_that_it_was_dialled_by_until_it_is_given_up() -> None:
    """Else the one who chooses the uplink would take it for a connection by the new one."""
    made, moved = agent(), Uplink("wlan0", IPv4Interface("198.51.100.1/24"))
    made.uplink = made._dialled_from = HERE
    made.note(uplink=True, resolved=True, reachable=True, connected=True)
    made.uplink = moved
    assert (made.status()[Key.UPLINK], made.status()[Key.ADDRESS]) == ("eth0", "192.0.2.1/24")
    made.note(connected=False)
    assert (made.status()[Key.UPLINK], made.status()[Key.ADDRESS]) == ("wlan0", "198.51.100.1/24")
    made.note(connected=True)
    made.uplink = None
    assert Key.UPLINK not in made.status()
