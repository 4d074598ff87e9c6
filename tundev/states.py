"""How far a device is on its way to a session, as a pure function of what is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """In order; each holds only where the one before it does."""

    LAN_WAIT = "LAN_wait"
    IP_ADDR_OK = "IP_addr_OK"
    RDVSERVER_IP_OK = "RDVServer_IP_OK"
    RDVSERVER_TCP_OK = "RDVServer_TCP_OK"
    SSL_TUNNEL_OK = "SSL_tunnel_OK"
    """Only where the connection travels in TLS."""
    SSH_CONNECTION_OK = "SSH_connection_OK"
    TUNNEL_CONNECTION_OK = "Tunnel_connection_OK"
    SESSION_OK = "Session_OK"


ONLINE = (State.SSH_CONNECTION_OK, State.TUNNEL_CONNECTION_OK, State.SESSION_OK)
"""With these the RDV knows the device, and the device can ask it."""


@dataclass(frozen=True)
class Facts:
    """What is known to hold now."""

    uplink: bool = False
    """An interface has an address and the default route."""
    resolved: bool = False
    """The server's name, or that of the proxy on the way to it, has an address."""
    reachable: bool = False
    """The server, or the proxy on the way to it, took a TCP connection."""
    secured: bool = False
    """The TLS that the connection travels in is up to the server; never where it goes without."""
    connected: bool = False
    """The shell answers, and the server knows who and where this device is."""
    tunnel: bool = False
    """The leg's interface has a carrier."""
    session: bool = False
    """The session is usable from end to end, as far as this device can tell."""


def next_state(facts: Facts) -> State:
    """The last state whose conditions, and those of all before it, hold."""
    state = State.LAN_WAIT
    on_the_way = State.SSL_TUNNEL_OK if facts.secured else State.RDVSERVER_TCP_OK
    for holds, reached in (
        (facts.uplink, State.IP_ADDR_OK),
        (facts.resolved, State.RDVSERVER_IP_OK),
        (facts.reachable, on_the_way),
        (facts.connected, State.SSH_CONNECTION_OK),
        (facts.tunnel, State.TUNNEL_CONNECTION_OK),
        (facts.session, State.SESSION_OK),
    ):
        if not holds:
            break
        state = reached
    return state
