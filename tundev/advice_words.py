"""What is told of each failure: words for the technician and the field engineer.

In a text `{server}`, `{account}` and `{uplink}` stand for this device's own.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from vtunlib.errors import printable
from vtunlib.tunnel import Role

_COLUMNS = 78


@dataclass(frozen=True)
class Advice:
    """title: a few words; text: what failed; checks: what to look at, the likeliest first."""

    title: str
    text: str
    checks: list[str]

    def lines(self) -> list[str]:
        """For a terminal."""
        shown = [f"{self.title}:", *_wrapped(self.text, "  ", "  ")]
        for check in self.checks:
            shown += _wrapped(check, "  - ", "    ")
        return [printable(line) for line in shown]


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text,
        _COLUMNS,
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
        break_long_words=False,
    )


_BY_DHCP = "Does the {}'s network hand out IPv4 addresses (DHCP)?"
_BY_RADIO = (
    "By Wi-Fi or a modem: are its name and secrets in [uplink] right, and is there a signal? "
    "A SIM's PIN is tried once at each start, and three wrong tries lock the SIM: "
    "compare it before the next."
)

NO_NETWORK = {
    Role.MASTER: Advice(
        "This master has no network",
        "It has no address and no way out: without these it cannot reach the RDV server.",
        [
            "Is the master's own network cable plugged in, and is its link light on?",
            f"{_BY_DHCP.format('desk')} Another device at the same socket shows it.",
            _BY_RADIO,
            "'nmcli device' on the master shows what its interfaces wait for.",
        ],
    ),
    Role.ONSITE: Advice(
        "This onsite has no network",
        "It has no address and no way out: without these it cannot reach the RDV server.",
        [
            "Is its network cable plugged in at both ends, and is the link light on?",
            f"{_BY_DHCP.format('customer')} If not, set one in [uplink.ethernet].",
            _BY_RADIO,
            "Does the socket let unknown devices in (802.1X, MAC addresses)? Ask the customer's IT.",
            "'nmcli device' on the onsite shows what its interfaces wait for.",
        ],
    ),
}

_ALLOWED = "What a network must let out to {server}: TCP 2222 (SSH), or 443 (TLS), and DNS."

FAILURES = {
    "NameNotResolved": Advice(
        "The RDV server's name is not found",
        "This device has a network, but its DNS server does not tell the address of {server}.",
        [
            "Is the name right? 'server' in /etc/tundev/tundev.toml.",
            "Does the network's DNS server answer at all? Try any other name from a computer beside it.",
            "A network without DNS: put the RDV server's address into 'server'.",
        ],
    ),
    "RdvUnreachable": Advice(
        "The RDV server cannot be reached",
        "This device has a network, but {server} is not to be reached from here.",
        [
            "Does the network reach the internet at all? Try it from a computer beside this device.",
            f"Does a firewall hold back what goes out? {_ALLOWED}",
            "Must a web proxy be used here? Then set 'proxy' in /etc/tundev/tundev.toml.",
            "Are other devices online? If none is, the RDV server itself is down: tell its admin.",
        ],
    ),
    "CaptivePortal": Advice(
        "This network wants a sign-in first",
        "A captive portal answers instead of the internet, as in hotels and guest networks: until somebody "
        "has signed in on its web page, it lets nothing through to {server}.",
        [
            "Ask the network's administrator to let this device through without signing in.",
            "It will be known there by its MAC address: 'ip link show {uplink}' tells it.",
            "Or use another socket or network, one that is not for guests.",
        ],
    ),
    "Timeout": Advice(
        "The RDV server does not answer in time",
        "A connection to {server} begins, and then nothing comes.",
        [
            "Is the network very slow or full? It is tried again by itself.",
            "A firewall that looks into connections may swallow them: " + _ALLOWED,
            "Are other devices online? If none is, tell the RDV's admin.",
        ],
    ),
    "ProtocolError": Advice(
        "What answers is not the RDV server",
        "Something takes the connection to {server} and does not speak as an RDV server does.",
        [
            "Are name and port right? 'server' in /etc/tundev/tundev.toml.",
            "Is the account added there, with this role? On the RDV: 'rdv-admin device show {account}'.",
            "A firewall or proxy may answer in its place: " + _ALLOWED,
        ],
    ),
    "TlsIntercepted": Advice(
        "Somebody looks into TLS here",
        "On the way to {server} the network shows a certificate of its own instead of the RDV server's. "
        "The connection is not made: it would not be private, and would not come through.",
        [
            "Ask the network's administrator to exempt {server} from TLS inspection.",
            "Or to let TCP 2222 (SSH) out to it, which needs no TLS.",
            "If the RDV server got a new CA, this device needs a new bundle: 'rdv-admin device re-enrol'.",
        ],
    ),
    "CertificateRefused": Advice(
        "The RDV server's certificate is for another name",
        "The certificate is the RDV's, but not for the name by which this device dials it, {server}.",
        [
            "Is the name in 'server' of /etc/tundev/tundev.toml the one that the RDV goes by?",
            "On the RDV: 'rdv-admin tls show' lists the names, 'rdv-admin tls renew --name NAME' adds one.",
        ],
    ),
    "ProxyRefused": Advice(
        "The proxy does not let this device through",
        "The proxy that is set in the configuration does not pass on to {server}.",
        [
            "Are address, port, user and password right? 'proxy' in /etc/tundev/tundev.toml.",
            "The proxy's administrator must allow CONNECT to {server}, port 443.",
        ],
    ),
    "HostKeyMismatch": Advice(
        "Another machine answers as the RDV server",
        "What answers as {server} does not hold the host key that this device was given. It is not told "
        "anything, and no session is possible.",
        [
            "Is the address behind the name right? A private DNS server may give another one.",
            "Was the RDV server set up anew without its backup? Then each device needs a new bundle.",
            "Neither is so? Then take it for an attack, and tell the RDV's admin.",
        ],
    ),
    "AuthenticationRefused": Advice(
        "The RDV server does not take this device",
        "{server} is there, but refuses the account {account} with this device's key.",
        [
            "Is the account there, and enabled? On the RDV: 'rdv-admin device show {account}'.",
            "Is its key there the one that 'tundev-status --key' prints here?",
            "A one-time key that was used, or has expired: 'rdv-admin device re-enrol {account}' there.",
        ],
    ),
    "TakenOver": Advice(
        "Another device has this one's identity",
        "A newer connection as {account} took this one's place. Once is nothing: the device dials again. "
        "Again and again, two devices have one key.",
        [
            "Was the card of this device copied? Only one of the two may run.",
            "On the RDV, 'rdv-admin status' shows both addresses.",
            "'rdv-admin device re-enrol {account} --now' there gives the right one a key of its own.",
        ],
    ),
    "MissingProgram": Advice(
        "A program is missing on this device",
        "Something that this device needs was removed from it.",
        ["Install the package that the message names, or the device's package anew."],
    ),
}
"""By the failure's class (vtunlib.errors)."""

OTHER_FAILURE = Advice(
    "This device is not online",
    "It could not connect to {server}; it tries again by itself.",
    [
        "'masterdev diagnose' or 'onsitedev diagnose' on the device walks through all steps.",
        "The agent's journal has more: 'journalctl -u masterdev -u onsitedev'.",
    ],
)
