"""What rdv-sshd and rdv-stunnel write to the journal about who comes from where, as values.

There is no interface for it (docs/adr/0009), so these are their log's words. A line
holds what a stranger chose, the account's name: it is taken only where all of it is
of the form that a device's line has, and otherwise as nobody's.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_NAME = r"(?P<account>[a-z][a-z0-9-]{0,30})"
_FROM = r"from (?P<address>[0-9A-Fa-f.:]{2,45})(?:%\w+)? port (?P<port>\d{1,5})"
_KEY = r"ssh2: ED25519 (?P<fingerprint>SHA256:[A-Za-z0-9+/]{43})"
# OpenSSH, auth.c, auth_log(); at LogLevel VERBOSE every key that was offered has a line.
_ACCEPTED = re.compile(f"Accepted publickey for {_NAME} {_FROM} {_KEY}")
_FAILED = re.compile(f"Failed publickey for {_NAME} {_FROM} {_KEY}")
# auth2.c: of an account that there is not it does not look at the key.
_INVALID = re.compile(f"Invalid user {_NAME} {_FROM}")
_STRANGER = re.compile(r"(?:Failed \S+ for (?!invalid user )|Invalid user |User ).*", re.DOTALL)
# stunnel, client.c, at debug = notice; [n] is the number of the connection's thread.
_TLS = re.compile(
    r".*LOG5\[(?P<number>\d+)\]: Service \[[^\]]*\] "
    r"(?P<what>accepted connection|connected remote server) from (?P<address>\S+):(?P<port>\d{1,5})"
)


@dataclass(frozen=True)
class Accepted:
    """sshd has let this account in. pid: of that sshd, an ancestor of all that the device runs."""

    pid: int
    account: str
    address: str
    port: int
    fingerprint: str


@dataclass(frozen=True)
class Refused:
    """sshd has not taken this key for this account.

    fingerprint: empty where there is no such account, and sshd does not look at the key.
    """

    account: str
    address: str
    port: int
    fingerprint: str


@dataclass(frozen=True)
class Stranger:
    """sshd has refused somebody who does not even come as a device does."""


@dataclass(frozen=True)
class TlsCame:
    """A TLS connection came from this address."""

    number: int
    address: str


@dataclass(frozen=True)
class TlsWentOn:
    """That TLS connection goes on to sshd from this port of this host."""

    number: int
    port: int


Line = Accepted | Refused | Stranger | TlsCame | TlsWentOn


def of_sshd(message: str, pid: int) -> Line | None:
    """What a line of sshd's tells; None where it is about something else."""
    if found := _ACCEPTED.fullmatch(message):
        return Accepted(pid, *_who(found), found["fingerprint"])
    if found := _FAILED.fullmatch(message):
        return Refused(*_who(found), found["fingerprint"])
    if found := _INVALID.fullmatch(message):
        return Refused(*_who(found), "")
    return Stranger() if _STRANGER.fullmatch(message) else None


def of_stunnel(message: str) -> Line | None:
    """What a line of stunnel's tells; None where it is about something else."""
    found = _TLS.fullmatch(message)
    if found is None:
        return None
    number = int(found["number"])
    if found["what"] == "accepted connection":
        return TlsCame(number, _address(found["address"]))
    return TlsWentOn(number, int(found["port"]))


def _who(found: re.Match[str]) -> tuple[str, str, int]:
    return found["account"], _address(found["address"]), int(found["port"])


def _address(text: str) -> str:
    """In one form: an IPv4 address that came on an IPv6 socket is an IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
