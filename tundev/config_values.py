"""The values of a device's configuration: each is parsed to its type, or refused with what was expected.

Values of keys that hold secrets are not repeated in errors.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tundev import archive_key
from tundev import proxy as proxies
from tundev.proxy import Proxy
from vtunlib import certificate

DEFAULT_PORT = 2222
LOCATION_LIMIT = 200
"""Characters."""
GRACE_LIMIT = 30.0
"""Seconds."""
PIN_LENGTHS = range(4, 65)
KEY_LIMIT = 2000
"""Characters of a public key with its comment; RSA of 8192 bits has 1400."""
ARCHIVE_KEY_LIMIT = 32768
"""Characters of an armoured key; RSA of 4096 bits has 3,100."""

_HOST = re.compile(proxies.HOST)
_ACCOUNT = re.compile(r"[a-z][a-z0-9-]{0,30}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_REPOSITORY = re.compile(
    rf"https?://(?:{proxies.HOST}|\[[0-9a-fA-F:.]+\])(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~+-]+)*/?"
)
_ARCHIVE_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_KEY_TYPES = re.compile(r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)")


class Transport(StrEnum):
    """How the SSH connection travels."""

    SSH = "ssh"
    TLS = "tls"
    AUTO = "auto"


@dataclass(frozen=True)
class Server:
    """Where the RDV server is: host is a name or an address."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT else f"{host}:{self.port}"


class WrongForm(Exception):
    """A value that is not of its form; the text says what was expected."""


def string(value: object) -> str:
    if not isinstance(value, str):
        raise WrongForm("a string in quotes")
    return value


def matching(pattern: re.Pattern[str], expected: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise WrongForm(expected)
        return value

    return parse


account = matching(_ACCOUNT, 'an account such as "rpi1100": a-z, 0-9 and -, a letter first')
interface = matching(_INTERFACE, 'the name of a network interface such as "eth1"')


def server(value: object) -> Server:
    expected = 'a name or an address, and :port where it is not 2222, as in "rdv.example.com:443"'
    if not isinstance(value, str):
        raise WrongForm(expected)
    if match := re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::([0-9]{1,5}))?", value):
        host, port = match.groups()
    elif value.count(":") > 1:
        host, port = value, None
    else:
        host, _, digits = value.partition(":")
        port = digits if ":" in value else None
    try:
        if ":" in host:
            ipaddress.IPv6Address(host)
        elif not _HOST.fullmatch(host):
            raise WrongForm(expected)
        number = DEFAULT_PORT if port is None else int(port)
    except ValueError:
        raise WrongForm(expected) from None
    if not 0 < number < 65536:
        raise WrongForm(expected)
    return Server(host, number)


def host_key(value: object) -> str:
    found = _public_key(value)
    if found is None:
        raise WrongForm('the server\'s public host key, as in "ssh-ed25519 AAAA..."')
    return " ".join(found)


def authorized_keys(value: object) -> tuple[str, ...]:
    """Public keys without options: who is let in is let in for everything."""
    expected = 'a list of public keys, as in ["ssh-ed25519 AAAA... anna@desk"]'
    if not isinstance(value, list):
        raise WrongForm(expected)
    keys = []
    for line in value:
        found = _public_key(line)
        if found is None or not line.isprintable() or len(line) > KEY_LIMIT:
            raise WrongForm(expected)
        keys.append(" ".join([*found, *line.split()[2:]]))
    return tuple(keys)


def _public_key(value: object) -> tuple[str, str] | None:
    """Type and base64 of a line as in id_ed25519.pub; None where it is none."""
    words = value.split() if isinstance(value, str) else []
    if len(words) < 2 or not _KEY_TYPES.fullmatch(words[0]):
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    # RFC 4253, 6.6: the blob begins with the type's name, its length in 4 bytes before it.
    if not blob.startswith(len(words[0]).to_bytes(4, "big") + words[0].encode()) or len(blob) < 40:
        return None
    return words[0], words[1]


def enrol_key(value: object) -> str:
    # The text is not repeated: it is a secret.
    expected = "the private key that 'rdv-admin device add --bundle' wrote, whole"
    lines = value.split() if isinstance(value, str) and len(value) < 4096 else []
    begin, end = (f"-----{word} OPENSSH PRIVATE KEY-----".split() for word in ("BEGIN", "END"))
    body = lines[len(begin) : -len(end)]
    if lines != [*begin, *body, *end]:
        raise WrongForm(expected)
    try:
        blob = base64.b64decode("".join(body), validate=True)
    except (binascii.Error, ValueError):
        raise WrongForm(expected) from None
    # openssh/PROTOCOL.key: a magic word, and as a string the name of the cipher.
    if not blob.startswith(b"openssh-key-v1\0\0\0\0\4none"):
        raise WrongForm(expected)
    return "\n".join([" ".join(begin), *body, " ".join(end), ""])


def transport(value: object) -> Transport:
    if value not in list(Transport):
        raise WrongForm('"ssh", "tls" or "auto"')
    return Transport(str(value))


def ca_cert(value: object) -> str:
    expected = "the RDV's CA as PEM text, from -----BEGIN CERTIFICATE----- on"
    found = certificate.split(value) if isinstance(value, str) else []
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="".join(found))
    except (ssl.SSLError, ValueError):
        raise WrongForm(expected) from None
    return "".join(found)


def proxy(value: object) -> Proxy:
    found = proxies.parse(value) if isinstance(value, str) else None
    if found is None:
        raise WrongForm('the proxy as in "http://10.0.0.1:3128" or "http://user:password@proxy:3128"')
    return found


def location(value: object) -> str:
    if not isinstance(value, str) or len(value) > LOCATION_LIMIT or not value.isprintable():
        raise WrongForm(f"a string of at most {LOCATION_LIMIT} printable characters, on one line")
    return value


def subnet(value: object) -> ipaddress.IPv4Network:
    expected = 'an IPv4 network of prefix 16 to 29, as in "192.168.38.224/29"'
    try:
        network = ipaddress.IPv4Network(value) if isinstance(value, str) else None
    except ValueError:
        network = None
    if network is None or not 16 <= network.prefixlen <= 29 or network.is_multicast or network.is_loopback:
        raise WrongForm(expected)
    return network


def switch(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise WrongForm("true or false")
    return value


def grace(value: object) -> float:
    """How long a link may be away, in seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= GRACE_LIMIT:
        raise WrongForm(f"seconds from 0 to {GRACE_LIMIT:g}, as in 3 or 0.5")
    return float(value)


def pin(value: object) -> str:
    """What the page asks for; it is a secret and not repeated."""
    if not isinstance(value, str) or len(value) not in PIN_LENGTHS or not value.isprintable():
        shortest, longest = PIN_LENGTHS[0], PIN_LENGTHS[-1]
        raise WrongForm(f"a string of {shortest} to {longest} printable characters, in quotes")
    return value


repository = matching(
    _REPOSITORY, 'an address without user or password, as in "http://packages.example.com/tundev"'
)
suite = matching(_ARCHIVE_WORD, 'a suite of the repository such as "stable"')
component = matching(_ARCHIVE_WORD, 'a component of the repository such as "main"')


def signing_key(value: object) -> str:
    """What a repository is signed with, for apt's Signed-By."""
    found = archive_key.parse(value) if isinstance(value, str) and len(value) < ARCHIVE_KEY_LIMIT else None
    if found is None:
        raise WrongForm("the repository's public key, whole, as 'gpg --export --armor' writes it")
    return found
