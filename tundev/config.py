"""A device's configuration, `/etc/tundev/tundev.toml`, parsed once into types.

What is not known, or not of its form, is refused with file, line, key and what
was expected. Nothing of it is ever executed. Values of keys that hold secrets
are not repeated in errors.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import ssl
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from tundev import paths, proxy
from tundev.proxy import Proxy
from vtunlib import certificate
from vtunlib.errors import ConfigError, printable

DEFAULT_PORT = 2222
DEFAULT_SUBNET = ipaddress.IPv4Network("192.168.38.224/29")
AUTO = "auto"
LOCATION_LIMIT = 200
"""Characters."""

RESERVED_TABLES = frozenset({"uplink", "login", "web", "updates"})
"""Tables of the format that this version passes over."""

_HOST = re.compile(proxy.HOST)
_ACCOUNT = re.compile(r"[a-z][a-z0-9-]{0,30}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_KEY_TYPES = re.compile(r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)")


T = TypeVar("T")


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


@dataclass(frozen=True)
class Rdv:
    """[rdv]; host_key is `type base64`, without comment; enrol_key is OpenSSH's PEM.

    ca_cert None: the CAs that Debian brings.
    """

    server: Server
    account: str
    host_key: str
    transport: Transport = Transport.AUTO
    ca_cert: str | None = None
    proxy: Proxy | None = None
    enrol_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Onsite:
    """[onsite]; interface is the wired port of the uplink's bridge, or "auto"."""

    location: str = ""
    interface: str = AUTO


@dataclass(frozen=True)
class Master:
    """[master]; interface is the technician's port, uplink what must not be taken for it."""

    extremity_subnet: ipaddress.IPv4Network = DEFAULT_SUBNET
    interface: str | None = None
    uplink: str | None = None


@dataclass(frozen=True)
class Config:
    """The whole file; a table that is absent is None."""

    rdv: Rdv
    onsite: Onsite | None = None
    master: Master | None = None


class _WrongForm(Exception):
    """A value that is not of its form; the text says what was expected."""


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongForm("a string in quotes")
    return value


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _WrongForm(expected)
        return value

    return parse


def parse_account(value: object) -> str:
    """An account's name. Raises ConfigError."""
    return _outside(_account, value, "account")


def parse_server(value: object) -> Server:
    """`name`, `address`, or either with `:port`. Raises ConfigError."""
    return _outside(_server, value, "server")


def parse_interface(value: object) -> str:
    """An interface's name. Raises ConfigError."""
    return _outside(_interface, value, "interface")


_account = _matching(_ACCOUNT, 'an account such as "rpi1100": a-z, 0-9 and -, a letter first')
_interface = _matching(_INTERFACE, 'the name of a network interface such as "eth1"')


def _server(value: object) -> Server:
    expected = 'a name or an address, and :port where it is not 2222, as in "rdv.example.com:443"'
    if not isinstance(value, str):
        raise _WrongForm(expected)
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
            raise _WrongForm(expected)
        number = DEFAULT_PORT if port is None else int(port)
    except ValueError:
        raise _WrongForm(expected) from None
    if not 0 < number < 65536:
        raise _WrongForm(expected)
    return Server(host, number)


def _host_key(value: object) -> str:
    expected = 'the server\'s public host key, as in "ssh-ed25519 AAAA..."'
    words = value.split() if isinstance(value, str) else []
    if len(words) < 2 or not _KEY_TYPES.fullmatch(words[0]):
        raise _WrongForm(expected)
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise _WrongForm(expected) from None
    # RFC 4253, 6.6: the blob begins with the type's name, its length in 4 bytes before it.
    if not blob.startswith(len(words[0]).to_bytes(4, "big") + words[0].encode()) or len(blob) < 40:
        raise _WrongForm(expected)
    return f"{words[0]} {words[1]}"


def _enrol_key(value: object) -> str:
    # The text is not repeated: it is a secret.
    expected = "the private key that 'rdv-admin device add --bundle' wrote, whole"
    lines = value.split() if isinstance(value, str) and len(value) < 4096 else []
    begin, end = (f"-----{word} OPENSSH PRIVATE KEY-----".split() for word in ("BEGIN", "END"))
    body = lines[len(begin) : -len(end)]
    if lines != [*begin, *body, *end]:
        raise _WrongForm(expected)
    try:
        blob = base64.b64decode("".join(body), validate=True)
    except (binascii.Error, ValueError):
        raise _WrongForm(expected) from None
    # openssh/PROTOCOL.key: a magic word, and as a string the name of the cipher.
    if not blob.startswith(b"openssh-key-v1\0\0\0\0\4none"):
        raise _WrongForm(expected)
    return "\n".join([" ".join(begin), *body, " ".join(end), ""])


def _transport(value: object) -> Transport:
    if value not in list(Transport):
        raise _WrongForm('"ssh", "tls" or "auto"')
    return Transport(str(value))


def _ca_cert(value: object) -> str:
    expected = "the RDV's CA as PEM text, from -----BEGIN CERTIFICATE----- on"
    found = certificate.split(value) if isinstance(value, str) else []
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="".join(found))
    except (ssl.SSLError, ValueError):
        raise _WrongForm(expected) from None
    return "".join(found)


def _proxy(value: object) -> Proxy:
    found = proxy.parse(value) if isinstance(value, str) else None
    if found is None:
        raise _WrongForm('the proxy as in "http://10.0.0.1:3128" or "http://user:password@proxy:3128"')
    return found


def _location(value: object) -> str:
    if not isinstance(value, str) or len(value) > LOCATION_LIMIT or not value.isprintable():
        raise _WrongForm(f"a string of at most {LOCATION_LIMIT} printable characters, on one line")
    return value


def _subnet(value: object) -> ipaddress.IPv4Network:
    expected = 'an IPv4 network of prefix 16 to 29, as in "192.168.38.224/29"'
    try:
        network = ipaddress.IPv4Network(value) if isinstance(value, str) else None
    except ValueError:
        network = None
    if network is None or not 16 <= network.prefixlen <= 29 or network.is_multicast or network.is_loopback:
        raise _WrongForm(expected)
    return network


_TABLES: Mapping[str, Mapping[str, Callable[[object], Any]]] = {
    "rdv": {
        "server": _server,
        "account": _account,
        "host_key": _host_key,
        "transport": _transport,
        "ca_cert": _ca_cert,
        "proxy": _proxy,
        "enrol_key": _enrol_key,
    },
    "onsite": {"location": _location, "interface": _interface},
    "master": {"extremity_subnet": _subnet, "interface": _interface, "uplink": _interface},
}
_REQUIRED = {"rdv": ("server", "account", "host_key")}


def load(path: Path = paths.CONFIG) -> Config:
    """The configuration in the file `path`. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}", "put the file there that 'rdv-admin device add --bundle' wrote"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        hint = "run as root or as a member of the group tundev" if isinstance(error, PermissionError) else ""
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint) from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Config:
    """The configuration in `text`; `name` stands for the file in errors. Raises ConfigError."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not TOML: {error}") from None
    for table in raw:
        if table not in _TABLES and table not in RESERVED_TABLES:
            known = ", ".join(f"[{name}]" for name in [*_TABLES, *sorted(RESERVED_TABLES)])
            raise _error(name, text, None, table, f"is unknown; expected one of {known}")
        if not isinstance(raw[table], dict):
            raise _error(name, text, None, table, f"expected a table, [{table}]")
    if "rdv" not in raw:
        raise ConfigError(f"{name}: [rdv] is missing", "expected [rdv] with server, account and host_key")
    values = {table: _table(name, text, table, raw[table]) for table in _TABLES if table in raw}
    return Config(
        rdv=Rdv(**values["rdv"]),
        onsite=Onsite(**values["onsite"]) if "onsite" in values else None,
        master=Master(**values["master"]) if "master" in values else None,
    )


def _table(name: str, text: str, table: str, raw: Mapping[str, object]) -> dict[str, Any]:
    schema = _TABLES[table]
    values = {}
    for key, value in raw.items():
        if key not in schema:
            raise _error(name, text, table, key, f"is unknown; expected one of {', '.join(schema)}")
        try:
            values[key] = schema[key](value)
        except _WrongForm as error:
            raise _error(name, text, table, key, f"expected {error}") from None
    for key in _REQUIRED.get(table, ()):
        if key not in values:
            raise _error(name, text, table, None, f"{key} is missing")
    return values


def _error(name: str, text: str, table: str | None, key: str | None, what: str) -> ConfigError:
    line = _line_of(text, table, key)
    place = f"{name}, line {line}" if line else name
    subject = " ".join(part for part in (f"[{table}]" if table else "", printable(key or "", 60)) if part)
    return ConfigError(f"{place}: {subject}: {what}")


def _line_of(text: str, table: str | None, key: str | None) -> int | None:
    """The line where `key` of `table` is set, or `table` begins; tomllib tells no lines.

    Good enough for an error: a line inside a multi-line string may be taken for a key.
    """
    inside = table is None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            inside = header[1].strip("\"'") == table
            if (inside and key is None) or (table is None and header[1].split(".")[0].strip("\"' ") == key):
                return number
        elif key is not None and (inside or table is None):
            word = re.match(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*(?:\.[^=]*)?=", line)
            if word and word[1].strip("\"'") == key:
                return number
    return None


def _outside(parser: Callable[[object], T], value: object, what: str) -> T:
    """The same check for a value that came from the command line or the environment."""
    try:
        return parser(value)
    except _WrongForm as error:
        raise ConfigError(f"{what} {printable(str(value), 60)!r}: expected {error}") from None
