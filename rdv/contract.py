"""The D-Bus contract of the manager: what server and clients both import.

A connection of a device is known by a handle, which only the bus connection
that attached it may use. Lists cross as one JSON object a row: what is shown
with `--json` is what was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BUS_NAME = "org.rdv.TundevManager1"
PATH = "/org/rdv/TundevManager1"
SHELL_INTERFACE = "org.rdv.TundevManager1"
"""For the shell service (user rdv-shell) and root."""
ADMIN_INTERFACE = "org.rdv.TundevManager1.Admin"
"""For root only."""


@dataclass(frozen=True)
class Method:
    """A method: its interface and name, the D-Bus signatures of what it takes and gives."""

    interface: str
    member: str
    takes: str = ""
    gives: str = ""


@dataclass(frozen=True)
class Signal:
    """A signal: its interface and name, the D-Bus signature of its body."""

    interface: str
    member: str
    body: str = ""


class Fact(StrEnum):
    """What a device tells of itself; the value crosses as the text that the device sent."""

    LAN = "lan"
    """Address and prefix on its LAN: 192.168.1.2/24."""
    DNS = "dns"
    """Addresses of the LAN's DNS servers, separated by spaces."""
    HOSTNAME = "hostname"
    VERSION = "version"
    """Of the packages on the device."""
    UPLINK = "uplink"
    """lan, wlan, 3g or other."""
    LOCATION = "location"
    MODE = "mode"
    """The tunnel mode that a master wants: L2 or L3."""


ATTACH = Method(SHELL_INTERFACE, "Attach", "hxa{ss}", "ssst")
"""(the device's connected socket, when it connected in seconds since the epoch, facts told before)
-> (handle, account, role, revision as of Look). The account is the socket's peer by SO_PEERCRED, and
a socket that was attached before (SO_COOKIE) goes on as it was. NotAllowed where it is no device."""
HAND_OVER = Method(SHELL_INTERFACE, "HandOver")
"""This shell service ends, and the next one attaches its connections again: for a while they stay online."""
DETACH = Method(SHELL_INTERFACE, "Detach", "s")
"""The connection has ended: the device is offline. An unknown handle is no error."""
SET_FACT = Method(SHELL_INTERFACE, "SetFact", "sss")
"""(handle, Fact, text). UsageError where the text is not of its form."""
LOOK = Method(SHELL_INTERFACE, "Look", "s", "st")
"""-> (id of the session or "", revision: another number as soon as what the device may see changed)."""
GET_TUNNEL_MODE = Method(SHELL_INTERFACE, "GetTunnelMode", "s", "s")
GET_VTUN_PARAMETERS = Method(SHELL_INTERFACE, "GetVtunParameters", "s", "as")
"""-> `key: value` lines of vtunlib.tunnel.VtunParameters. NoSession."""
LIST_ONSITES = Method(SHELL_INTERFACE, "ListOnsites", "s", "as")
"""-> the online onsites that this master may reach: id, label, hostname, location, lan,
dns, uplink, since, in_session (account of the master or null)."""
CONNECT = Method(SHELL_INTERFACE, "Connect", "sss", "s")
"""(master's handle, onsite, reason) -> session id, once both legs may be dialled."""
DROP = Method(SHELL_INTERFACE, "Drop", "ss")
"""(handle, reason). NoSession."""
REMOTE_IP_CONFIG = Method(SHELL_INTERFACE, "RemoteIpConfig", "s", "sas")
"""-> (the onsite's LAN address with prefix, its DNS servers). NoSession."""
SESSION_STATUS = Method(SHELL_INTERFACE, "SessionStatus", "s", "a{ss}")
"""-> state, and as far as known: id, onsite, master, mode, since, rtt_ms, reason, ended."""

STATUS = Method(ADMIN_INTERFACE, "Status", "", "s")
"""-> one JSON object: version, since (when the manager started), drain (since, reason;
or null), devices, sessions, warnings (key, text, since)."""
LIST_ONLINE = Method(ADMIN_INTERFACE, "ListOnline", "", "as")
LIST_SESSIONS = Method(ADMIN_INTERFACE, "ListSessions", "", "as")
RECORDED = Method(ADMIN_INTERFACE, "Recorded", "s")
"""One JSON object, as EVENT has it: what rdv-admin did and has recorded. Who listens is told by EVENT."""
SHOW_ACCESS = Method(ADMIN_INTERFACE, "ShowAccess", "", "s")
"""-> one JSON object: the rules in force, fault (why they are not the file's, or empty), fingerprint
(of the text that they were read from)."""
DROP_SESSION = Method(ADMIN_INTERFACE, "DropSession", "ss", "s")
"""(session id or account, reason) -> session id. NotFound."""
DROP_DEVICE = Method(ADMIN_INTERFACE, "DropDevice", "ss", "b")
"""(account, reason) -> whether it was online. Its session and its connection end."""

METHODS = (
    ATTACH,
    HAND_OVER,
    DETACH,
    SET_FACT,
    LOOK,
    GET_TUNNEL_MODE,
    GET_VTUN_PARAMETERS,
    LIST_ONSITES,
    CONNECT,
    DROP,
    REMOTE_IP_CONFIG,
    SESSION_STATUS,
    STATUS,
    LIST_ONLINE,
    LIST_SESSIONS,
    RECORDED,
    SHOW_ACCESS,
    DROP_SESSION,
    DROP_DEVICE,
)

CHANGED = Signal(SHELL_INTERFACE, "Changed", "as")
"""Accounts for which Look may have another answer."""
ENDED = Signal(SHELL_INTERFACE, "Ended", "ss")
"""(handle, error line): the shell tells the device this line and closes its connection."""
EVENT = Signal(ADMIN_INTERFACE, "Event", "s")
"""One JSON object: what was just recorded, as `rdv-admin audit --json` shows it."""
SIGNALS = (CHANGED, ENDED, EVENT)


def introspection() -> str:
    """The contract as introspection XML, for people with busctl."""
    interfaces = []
    for interface in (SHELL_INTERFACE, ADMIN_INTERFACE):
        rows = [f' <interface name="{interface}">']
        for method in (m for m in METHODS if m.interface == interface):
            rows.append(f'  <method name="{method.member}">')
            rows += [f'   <arg type="{t}" direction="in"/>' for t in _single_types(method.takes)]
            rows += [f'   <arg type="{t}" direction="out"/>' for t in _single_types(method.gives)]
            rows.append("  </method>")
        for signal in (s for s in SIGNALS if s.interface == interface):
            rows.append(f'  <signal name="{signal.member}">')
            rows += [f'   <arg type="{t}"/>' for t in _single_types(signal.body)]
            rows.append("  </signal>")
        interfaces += [*rows, " </interface>"]
    return "\n".join(["<node>", *interfaces, "</node>"])


def _single_types(signature: str) -> list[str]:
    """The complete types of a signature; the contract nests no deeper than one dictionary."""
    types: list[str] = []
    rest = signature
    while rest:
        size = rest.index("}") + 1 if rest.startswith("a{") else 2 if rest.startswith("a") else 1
        types.append(rest[:size])
        rest = rest[size:]
    return types
