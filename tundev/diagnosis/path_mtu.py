"""What a path carries in one piece: echoes of several sizes at once, none of which may be fragmented.

A path that loses large packets without a word (RFC 2923, 2.1) lets a connection come up
and then stand still; the kernel knows nothing of it, so it must be tried.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from tundev.diagnosis.facts import HEADERS, Path
from vtunlib import probe
from vtunlib.errors import RdvError

SIZES = (576, 1000, 1280, 1300, 1320, 1340, 1360, 1380, 1400, 1420, 1440, 1450, 1460, 1480, 1492, 1500)
"""Bytes of whole packets: the least that all must take, steps of tunnels, PPPoE, Ethernet."""
TRIES = 2
"""One lost echo of a size is no finding."""
SECONDS = 2.0

_IP_MTU = 14  # linux/in.h
_IP_MTU_DISCOVER = 10
_IP_PMTUDISC_DO = 2


async def measured(address: str, link: str | None = None) -> Path | None:
    """The path to an IPv4 address, through `link` where that is given; None where only root may ask."""
    try:
        far = ipaddress.IPv4Address(address)
    except ValueError:
        return Path(0, 0)  # IPv6 tells its senders: no router there may fragment
    try:
        answers = await asyncio.gather(*(_passes(far, size, link) for size in SIZES))
    except RdvError:
        return None
    largest = max((size for size, passes in zip(SIZES, answers, strict=True) if passes), default=0)
    known = _known(address)
    if 0 < largest < known < SIZES[-1] and await _passes(far, known, link):
        largest = known  # between two of the sizes
    return Path(largest, known)


async def _passes(far: ipaddress.IPv4Address, size: int, link: str | None) -> bool:
    for _ in range(TRIES):
        payload = size - HEADERS
        if await probe.ping(far, link=link, deadline=SECONDS, payload=payload, whole=True) is not None:
            return True
    return False


def _known(address: str) -> int:
    """The size that the kernel keeps to on this path; 0 without a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
        try:
            sock.connect((address, 9))
            return sock.getsockopt(socket.IPPROTO_IP, _IP_MTU)
        except OSError:
            return 0
