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
    SSH_CONNECTION_OK = "SSH_connection_OK"
    TUNNEL_CONNECTION_OK = "Tunnel_connection_OK"
    SESSION_OK = "Session_OK"


@dataclass(frozen=True)
class Facts:
    """What is known to hold now."""

    uplink: bool = False
    """An interface has an address and the default route."""
    resolved: bool = False
    """The server's name has an address."""
    reachable: bool = False
    """The server took a TCP connection."""
    connected: bool = False
    """The shell answers, and the server knows who and where this device is."""
    tunnel: bool = False
    """The leg's interface has a carrier."""
    session: bool = False
    """The session is usable from end to end, as far as this device can tell."""


def next_state(facts: Facts) -> State:
    """The last state whose conditions, and those of all before it, hold."""
    state = State.LAN_WAIT
    for holds, reached in (
        (facts.uplink, State.IP_ADDR_OK),
        (facts.resolved, State.RDVSERVER_IP_OK),
        (facts.reachable, State.RDVSERVER_TCP_OK),
        (facts.connected, State.SSH_CONNECTION_OK),
        (facts.tunnel, State.TUNNEL_CONNECTION_OK),
        (facts.session, State.SESSION_OK),
    ):
        if not holds:
            break
        state = reached
    return state
