"""The agents' D-Bus names, imported by the agents and by the commands that call them.

Errors cross the bus as vtunlib.errors says. Values of a{sv} are plain: strings,
integers, floats, booleans, lists of strings; a key that has nothing to tell is absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vtunlib.tunnel import Role


@dataclass(frozen=True)
class BusName:
    """A service: its name on the bus, its object's path, its interface."""

    name: str
    path: str
    interface: str
    unit: str
    """The systemd unit that usually runs it."""


BUS_NAMES = {
    Role.MASTER: BusName(
        "org.rdv.MasterDev1", "/org/rdv/MasterDev1", "org.rdv.MasterDev1", "masterdev.service"
    ),
    Role.ONSITE: BusName(
        "org.rdv.OnsiteDev1", "/org/rdv/OnsiteDev1", "org.rdv.OnsiteDev1", "onsitedev.service"
    ),
}

STATUS = "Status"
"""() -> a{sv}, both roles: see Key."""
LIST_ONSITES = "ListOnsites"
"""() -> aa{sv}, master: one dictionary per onsite as `show_online_onsite_devs -v` words it."""
CONNECT = "Connect"
"""(s onsite, s mode, s reason, u seconds) -> a{sv}, master: answers when the far end does.
seconds 0: no limit."""
DISCONNECT = "Disconnect"
"""(), master: answers when everything is undone; NoSession where there is none."""
STATUS_CHANGED = "StatusChanged"
"""Signal (a{sv}), both roles: a new Status."""
STEP = "Step"
"""Signal (s), master: what Connect is about to do or has done, for a person."""

CONNECT_SECONDS = 40.0
"""How long a caller of Connect waits: the session has 30 s to come up, the rest is for undoing."""


class Key(StrEnum):
    """The keys of Status."""

    ROLE = "role"
    ACCOUNT = "account"
    SERVER = "server"
    STATE = "state"
    """One of tundev.states.State."""
    FAILURE = "failure"
    """The last failure, its error's class as `failure_class`."""
    FAILURE_CLASS = "failure_class"
    TRANSPORT = "transport"
    """How the connection travels, or is being tried: one of tundev.transport.Route."""
    NOTE = "note"
    """What is odd about the connection though it was taken: a certificate that fails by this clock."""
    UPLINK = "uplink"
    ADDRESS = "address"
    PORT = "port"
    """Master: the technician's port."""
    SESSION = "session"
    """Whether there is a session; the keys below are of it."""
    MODE = "mode"
    ONSITE = "onsite"
    LAN = "lan"
    """Master: the onsite's LAN address in CIDR."""
    DNS = "dns"
    RTT_MS = "rtt_ms"
    SINCE = "since"
    REASON = "reason"
    REACH = "reach"
    """Master: how far the RDV lets the session reach: `lan`, `all`, or the destinations (acl.toml(5))."""
    ENDED = "ended"
    """Why the last session ended, while there is no new one."""
    ENDED_AS_WISHED = "ended_as_wished"
    """Whether it was this side that ended it: Disconnect, or the time limit given."""
