"""A device's configuration, `/etc/tundev/tundev.toml`, parsed once into types.

What is not known, or not of its form, is refused with file, line, key and what
was expected. Nothing of it is ever executed. Values of keys that hold secrets
are not repeated in errors.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tundev import config_values as forms
from tundev import paths
from tundev.config_values import Server, Transport
from tundev.proxy import Proxy
from tundev.toml_text import fault, values_of
from tundev.uplinks import values as uplink_forms
from tundev.uplinks.wanted import Uplink
from vtunlib.errors import ConfigError, printable

DEFAULT_SUBNET = ipaddress.IPv4Network("192.168.38.224/29")
AUTO = "auto"

T = TypeVar("T")


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
    """[master]; interface is the technician's port, or "auto"; uplink what must not be taken for it.

    grace: seconds that the port's link may be away before that ends the session.
    """

    extremity_subnet: ipaddress.IPv4Network = DEFAULT_SUBNET
    interface: str = AUTO
    uplink: str | None = None
    grace: float = 3.0


@dataclass(frozen=True)
class Web:
    """[web], the master's page; pin is asked for before anything is shown.

    uplink: the page is on the support desk's LAN too; never without a pin.
    """

    pin: str | None = field(default=None, repr=False)
    uplink: bool = False


@dataclass(frozen=True)
class Login:
    """[login] of an appliance; authorized_keys may log in as root by SSH, each as `type base64 comment`."""

    authorized_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Updates:
    """[updates] of an appliance: the apt repository that new versions come from, signed with `key` alone.

    suite None: a flat one, whose index is at `url` itself.
    """

    url: str
    key: str
    suite: str | None = None
    component: str = "main"


@dataclass(frozen=True)
class Config:
    """The whole file; a table that is absent is None, but [uplink], which has a meaning without it."""

    rdv: Rdv
    onsite: Onsite | None = None
    master: Master | None = None
    web: Web | None = None
    login: Login | None = None
    updates: Updates | None = None
    uplink: Uplink = field(default_factory=Uplink)


def parse_account(value: object) -> str:
    """An account's name. Raises ConfigError."""
    return _outside(forms.account, value, "account")


def parse_server(value: object) -> Server:
    """`name`, `address`, or either with `:port`. Raises ConfigError."""
    return _outside(forms.server, value, "server")


def parse_interface(value: object) -> str:
    """An interface's name. Raises ConfigError."""
    return _outside(forms.interface, value, "interface")


_TABLES: Mapping[str, Mapping[str, Callable[[object], Any]]] = {
    "rdv": {
        "server": forms.server,
        "account": forms.account,
        "host_key": forms.host_key,
        "transport": forms.transport,
        "ca_cert": forms.ca_cert,
        "proxy": forms.proxy,
        "enrol_key": forms.enrol_key,
    },
    "onsite": {"location": forms.location, "interface": forms.interface},
    "master": {
        "extremity_subnet": forms.subnet,
        "interface": forms.interface,
        "uplink": forms.interface,
        "grace": forms.grace,
    },
    "web": {"pin": forms.pin, "uplink": forms.switch},
    "login": {"authorized_keys": forms.authorized_keys},
    "updates": {
        "url": forms.repository,
        "key": forms.signing_key,
        "suite": forms.suite,
        "component": forms.component,
    },
    **uplink_forms.TABLES,
}
_REQUIRED = {
    "rdv": ("server", "account", "host_key"),
    "updates": ("url", "key"),
    **uplink_forms.REQUIRED,
}


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
    raw = values_of(text, name)
    for table in raw:
        if table not in _TABLES or "." in table:
            known = ", ".join(f"[{name}]" for name in _TABLES)
            raise fault(name, text, None, table, f"is unknown; expected one of {known}")
        if not isinstance(raw[table], dict):
            raise fault(name, text, None, table, f"expected a table, [{table}]")
    if "rdv" not in raw:
        raise ConfigError(f"{name}: [rdv] is missing", "expected [rdv] with server, account and host_key")
    values = dict(_tables(name, text, raw))
    if values.get("web", {}).get("uplink") and "pin" not in values["web"]:
        raise fault(name, text, "web", "uplink", "needs a pin beside it: the LAN is not the adapter")
    if "component" in values.get("updates", {}) and "suite" not in values["updates"]:
        raise fault(name, text, "updates", "component", "needs a suite beside it: a flat repository has none")
    master = values.get("master", {})
    if "uplink" in master and master["uplink"] == master.get("interface"):
        raise fault(
            name, text, "master", "uplink", "is the technician's port too; expected another interface"
        )
    if wrong := uplink_forms.disagreement(values, _asked_by_name(values["rdv"])):
        raise fault(name, text, *wrong)
    return Config(
        rdv=Rdv(**values["rdv"]),
        onsite=Onsite(**values["onsite"]) if "onsite" in values else None,
        master=Master(**values["master"]) if "master" in values else None,
        web=Web(**values["web"]) if "web" in values else None,
        login=Login(**values["login"]) if "login" in values else None,
        updates=Updates(**values["updates"]) if "updates" in values else None,
        uplink=uplink_forms.uplink(values),
    )


def _asked_by_name(rdv: Mapping[str, Any]) -> Server | None:
    """The server, where this device looks its name up; a proxy does so itself."""
    server: Server = rdv["server"]
    try:
        ipaddress.ip_address(server.host)
    except ValueError:
        return server if rdv.get("proxy") is None else None
    return None


def _tables(name: str, text: str, raw: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each table that is set with its values, one inside another as `outer.inner`."""
    for table in _TABLES:
        outer, _, inner = table.partition(".")
        found = raw.get(outer)
        if inner and found is not None:
            found = found.get(inner)
            if found is not None and not isinstance(found, dict):
                raise fault(name, text, outer, inner, f"expected a table, [{table}]")
        if found is not None:
            known = {key: value for key, value in found.items() if f"{table}.{key}" not in _TABLES}
            yield table, _table(name, text, table, known)


def _table(name: str, text: str, table: str, raw: Mapping[str, object]) -> dict[str, Any]:
    schema = _TABLES[table]
    values = {}
    for key, value in raw.items():
        if key not in schema:
            inner = (f"[{other}]" for other in _TABLES if other.startswith(f"{table}."))
            raise fault(name, text, table, key, f"is unknown; expected one of {', '.join((*schema, *inner))}")
        try:
            values[key] = schema[key](value)
        except forms.WrongForm as error:
            raise fault(name, text, table, key, f"expected {error}") from None
    for key in _REQUIRED.get(table, ()):
        if key not in values:
            raise fault(name, text, table, None, f"{key} is missing")
    return values


def _outside(parser: Callable[[object], T], value: object, what: str) -> T:
    """The same check for a value that came from the command line or the environment."""
    try:
        return parser(value)
    except forms.WrongForm as error:
        raise ConfigError(f"{what} {printable(str(value), 60)!r}: expected {error}") from None
