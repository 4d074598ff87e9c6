"""What an X.509 certificate says, read by openssl; the standard library reads only what it has verified.

Names are as RFC 2253 writes them: what is not printable ASCII in them is escaped.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from dataclasses import dataclass

from vtunlib.errors import RdvError
from vtunlib.run import run

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\n?")
_ISO = "%Y-%m-%d %H:%M:%SZ"


@dataclass(frozen=True)
class Certificate:
    """names: names and addresses of the server that it is for; fingerprint: SHA-256, as openssl writes it."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime.datetime
    not_after: datetime.datetime
    fingerprint: str
    authority: bool

    def is_for(self, host: str) -> bool:
        """Whether a server of that name or address may show it; `*.` stands for one label (RFC 6125)."""
        return host in self.names or "*." + host.partition(".")[2] in self.names

    def days_left(self, now: datetime.datetime) -> int:
        """Whole days until it is valid no more; negative where it is not."""
        return (self.not_after - now).days


def split(text: str) -> list[str]:
    """The certificates in a PEM text, one text each, in order."""
    return [found.rstrip("\n") + "\n" for found in _PEM.findall(text)]


def read(pem: str) -> Certificate:
    """The first certificate of a PEM text. Raises RdvError where there is none."""
    told = run(
        [
            *("openssl", "x509", "-noout", "-subject", "-issuer", "-startdate", "-enddate"),
            *("-fingerprint", "-sha256", "-nameopt", "RFC2253", "-dateopt", "iso_8601"),
            *("-ext", "subjectAltName,basicConstraints"),
        ],
        stdin=pem,
    )
    try:
        return Certificate(
            subject=_value(told, "subject"),
            issuer=_value(told, "issuer"),
            names=tuple(_name(name) for name in re.findall(r"(?:DNS|IP Address):([^,\s]+)", told)),
            not_before=_date(_value(told, "notBefore")),
            not_after=_date(_value(told, "notAfter")),
            fingerprint=_value(told, "sha256 Fingerprint"),
            authority="\n    CA:TRUE" in told,
        )
    except (TypeError, ValueError):
        raise RdvError("openssl cannot tell what is in a certificate") from None


def _name(text: str) -> str:
    """As written here; openssl writes an IPv6 address at full length."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _value(told: str, key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", told, re.MULTILINE)
    if found is None:
        raise ValueError(key)
    return found[1].strip()


def _date(text: str) -> datetime.datetime:
    return datetime.datetime.strptime(text, _ISO).replace(tzinfo=datetime.UTC)
