"""A netlink socket that tells that something changed, and not what: the state is read afterwards.

So nothing is missed where events are lost, and what they say need not be parsed.
"""

from __future__ import annotations

import errno
import socket

# linux/rtnetlink.h
LINK = 0x1
IPV4_ADDRESS = 0x10
IPV4_ROUTE = 0x40

_DATAGRAM = 65536


def hang(groups: int) -> socket.socket:
    """A doorbell for these multicast groups, in the caller's network namespace; it never blocks."""
    doorbell = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        doorbell.setblocking(False)
        doorbell.bind((0, groups))
    except BaseException:
        doorbell.close()
        raise
    return doorbell


def quieten(doorbell: socket.socket) -> None:
    """Empty it. To be done before the state is read, so that a change after that rings again."""
    while True:
        try:
            doorbell.recv(_DATAGRAM)
        except BlockingIOError:
            return
        except OSError as error:
            # Events were lost; the state is read afterwards all the same.
            if error.errno != errno.ENOBUFS:
                raise
