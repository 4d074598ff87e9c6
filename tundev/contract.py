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

WATCHER = BusName(
    "org.rdv.SecondaryIfWatcher1",
    "/org/rdv/SecondaryIfWatcher1",
    "org.rdv.SecondaryIfWatcher1",
    "secondary-if-watcher.service",
)

UPLINK_WATCH = BusName(
    "org.rdv.TundevUplinks1",
    "/org/rdv/TundevUplinks1",
    "org.rdv.TundevUplinks1",
    "tundev-uplink-watch.service",
)

UNITS = ("tundev-*", "onsitedev.service", "masterdev.service", "masterdev-web.service", WATCHER.unit)
"""All units of a device's, by patterns of systemctl(1)'s form."""

STATUS = "Status"
"""() -> a{sv}, both roles: see Key."""
LIST_ONSITES = "ListOnsites"
"""() -> aa{sv}, master: one dictionary per onsite as `show_online_onsite_devs -v` words it."""
CONNECT = "Connect"
"""(s onsite, s mode, s reason, u seconds, u patience) -> a{sv}, master: answers when the far end does.
seconds 0: no limit. patience: seconds to wait for the technician's port where it is not ready, 0: not."""
DISCONNECT = "Disconnect"
"""(), master: answers when everything is undone; NoSession where there is none."""
STATUS_CHANGED = "StatusChanged"
"""Signal (a{sv}), both roles: a new Status."""
STEP = "Step"
"""Signal (s), master: what Connect is about to do or has done, for a person."""

ONSITES_CHANGED = "OnsitesChanged"
"""Signal (), master: ListOnsites answers anew."""

CONNECT_SECONDS = 50.0
"""How long a caller of Connect waits besides its patience: the session has 30 s to come up, a port that is
being looked at 5, the rest is for undoing."""


# org.rdv.SecondaryIfWatcher1, on the master. Who may call GetInterface may hear the signals; the
# rest is root's, for it is the agent's.

GET_INTERFACE = "GetInterface"
"""() -> a{sv}: the technician's port as it is, see PortKey."""
INTERFACE_ADDED = "InterfaceAdded"
"""Signal (s interface): the port is ready, a session may take it."""
INTERFACE_REMOVED = "InterfaceRemoved"
"""Signal (s interface, s reason): it is ready no longer, in a session or not; the reason is for a person.
A link that is away for less than the grace of [master] is not told."""
PORT_CHANGED = "PortChanged"
"""Signal (a{sv}): as GetInterface answers, at each change of anything in it."""
BORROW = "Borrow"
"""(s mode, s lan, as servers) -> a{sv}: a session takes the port. In L3 the laptop's subnet moves where it
clashes with the customer's LAN (in CIDR, or empty) or DNS servers; in L2 the address and the DHCP service are
taken away, and the interface is free to be bridged. Answers as GetInterface does. Ends with GiveBack, or when
the caller leaves the bus. Raises NotFound where no port is ready, Busy where it is borrowed."""
SET_NAME_SERVERS = "SetNameServers"
"""(as addresses): what the laptop asks goes to these, through the tunnel, until the port is given back."""
REPLUG = "Replug"
"""(): the borrower has bridged the port, and the laptop is made to ask for an address there."""
GIVE_BACK = "GiveBack"
"""(): the port is as before Borrow; no error where it is not borrowed."""


MOVE_NOTICE = 0.3
"""Seconds between the word of the port's next address and that address: a page that the laptop shows can only
be told of it by the one that it has."""


# org.rdv.TundevUplinks1, on both roles. Who may call GetUplinks may hear the signal; Pick is root's.

GET_UPLINKS = "GetUplinks"
"""() -> aa{sv}: each uplink that has an address and a default route, the best first, see UplinkKey."""
UPLINKS_CHANGED = "UplinksChanged"
"""Signal (aa{sv}): as GetUplinks answers, at each change of anything in it."""
PICK = "Pick"
"""(s type): the best uplink of this type (vtunlib.tunnel.UplinkType) is used, whether it reaches the RDV or
not, until the caller leaves the bus; another caller's pick takes its place. Without such an uplink nothing
is decided otherwise than without a pick."""


class UplinkKey(StrEnum):
    """The keys of each dictionary of GetUplinks."""

    LINK = "link"
    TYPE = "type"
    """One of vtunlib.tunnel.UplinkType."""
    ADDRESS = "address"
    """This device's on it, in CIDR."""
    STANDING = "standing"
    """One of tundev.uplinks.standing.Standing."""
    REASON = "reason"
    """Why the RDV was not reached by it when it was asked last; absent where it was, or was not asked."""
    PICKED = "picked"
    """True where it is used because it was picked by hand."""


class PortState(StrEnum):
    """What the technician's port is to the watcher."""

    ABSENT = "absent"
    """No adapter is plugged in."""
    NO_CABLE = "no_cable"
    """The adapter is there, its link has no carrier."""
    CHECKING = "checking"
    """Looking whether a network answers where a laptop should be."""
    READY = "ready"
    """Addressed, and the DHCP service runs."""
    REFUSED = "refused"
    """A DHCP server or a loop was found on it: nothing of ours answers there."""
    BORROWED = "borrowed"
    """In a session."""


class PortKey(StrEnum):
    """The keys of GetInterface."""

    STATE = "state"
    INTERFACE = "interface"
    """Absent in the state `absent`, as are the three below."""
    DRIVER = "driver"
    PRODUCT = "product"
    """What the adapter says it is; printable."""
    MAC = "mac"
    ADDRESS = "address"
    """This device's, in CIDR, while the port has one: in `ready`, and `borrowed` in L3."""
    MOVED = "moved"
    """Why the subnet is not the configured one: what it clashes with."""
    MOVING = "moving"
    """The address that it is about to have instead, in CIDR; told MOVE_NOTICE seconds before it has."""
    LEASE = "lease"
    """The laptop's address, as the DHCP service gave it."""
    LAPTOP = "laptop"
    """What the laptop calls itself; printable."""
    DNS = "dns"
    """The servers that the laptop's questions go to now."""
    REASON = "reason"
    """For a person: why it is refused, or what is waited for."""
    WAITING = "waiting"
    """Other adapters that are plugged in and not used, as `interface (product)`."""
    LEFT_ALONE = "left_alone"
    """USB devices that are plugged in and are no port, as `interface (product) is a modem`."""


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
    """The interface that the RDV is dialled by, `uplink_type` what it is (vtunlib.tunnel.UplinkType)."""
    UPLINK_TYPE = "uplink_type"
    UPLINKS = "uplinks"
    """Where there are several: what each is, for a person; the best first."""
    ADDRESS = "address"
    PORT = "port"
    """Master: the technician's port, while it is ready or in the session."""
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
    RX_BYTES = "rx_bytes"
    """Master: through the tunnel from the onsite, in this session."""
    TX_BYTES = "tx_bytes"
    ENDS = "ends"
    """When the time limit ends the session, ISO 8601."""
    STEP = "step"
    """Master: the last Step of a session that is not up yet."""
    ENDED = "ended"
    """Why the last session ended, while there is no new one."""
    ENDED_AS_WISHED = "ended_as_wished"
    """Whether it was this side that ended it: Disconnect, or the time limit given."""
