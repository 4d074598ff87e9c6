"""What must not leave this device: its keys and passwords, taken out of whatever text they stand in.

Known secrets go in every form in which a program writes them down; what has the form
of a secret goes too, for a key of last week stands in no file any more.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from tundev import paths

LEFT_OUT = "(left out)"
_SHORT = 8
"""Characters: what is shorter stands for itself only as a word of its own."""
_LEAST = 4
"""What is shorter could be anything, and is nobody's secret."""

_KEPT = (
    r"-----BEGIN CERTIFICATE-----(?:(?!-----)[\s\S]){1,8192}-----END CERTIFICATE-----",
    r"(?:ssh|ecdsa)-[a-z0-9-]+ AAAA[A-Za-z0-9+/=]+",
)
"""What looks like a key and is public."""
_DROPPED = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\s\S]{0,8192}?-----END [A-Z ]*PRIVATE KEY-----)?",
    r"(?<=://)[^\s/@\"']+(?=@)",  # user and password of a URL
    r"(?<=Basic )[A-Za-z0-9+/=_-]+",  # RFC 7617
    r"(?<![0-9A-Fa-f])[0-9a-f]{64}(?![0-9A-Fa-f])",  # the secret of a leg (vtunlib.tunnel)
    r"[A-Za-z0-9+/]{64,}={0,2}",  # a line of a key
)
_FORMS = re.compile(f"(?P<kept>{'|'.join(_KEPT)})|{'|'.join(_DROPPED)}")

_SHOWN: Mapping[str, frozenset[str]] = {
    "rdv": frozenset({"server", "account", "host_key", "transport", "ca_cert"}),
    "onsite": frozenset({"location", "interface"}),
    "master": frozenset({"extremity_subnet", "interface", "uplink", "grace"}),
    "web": frozenset({"uplink"}),
    "login": frozenset({"authorized_keys"}),
    "updates": frozenset({"url", "key", "suite", "component"}),
    "uplink": frozenset({"order"}),
    "uplink.ethernet": frozenset({"address", "gateway", "dns", "vlan"}),
    "uplink.wifi": frozenset({"ssid", "country", "hidden"}),
    "uplink.modem": frozenset({"apn"}),
}
"""What of the configuration is no secret. All that is not named here is taken for one, also what a
later version adds."""
_SECRET_KEY = re.compile(r"pass|psk|pin|puk|key|secret|token|user|identity|proxy|code", re.IGNORECASE)
"""A key of the configuration whose value is looked for in all else too: not each word of it is a secret."""
_ESCAPED = re.compile(r"(%|\\u)((?<=%)[0-9A-Fa-f]{2}|(?<=u)[0-9A-Fa-f]{4})")
"""As in URLs and in JSON."""


class Scrubber:
    """Takes these secrets, and what looks like one, out of texts and data."""

    def __init__(self, secrets: Iterable[str]) -> None:
        long: set[str] = set()
        short: set[str] = set()
        for secret in secrets:
            for form in _forms(secret):
                (long if len(form) >= _SHORT else short).add(form)
        # The longest first: a part of a form that is left standing would be told.
        self._long = sorted(long, key=len, reverse=True)
        words = "|".join(re.escape(form) for form in sorted(short, key=len, reverse=True))
        self._short = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])") if words else None

    def text(self, text: str) -> str:
        """The text without them."""
        for form in self._long:  # far faster than one expression of hundreds of forms
            text = text.replace(form, LEFT_OUT)
        if self._short is not None:
            text = self._short.sub(LEFT_OUT, text)
        return _FORMS.sub(lambda found: found["kept"] or LEFT_OUT, text)

    def data(self, value: Any) -> Any:
        """Texts in what becomes JSON: numbers stay, and so does its form."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value


def _forms(secret: str) -> set[str]:
    """The secret as it is, and as URLs, HTTP headers, JSON and dumps have it."""
    if len(secret) < _LEAST:
        return set()
    raw = secret.encode()
    forms = {
        *(secret, quote(secret), quote(secret, safe=""), quote_plus(secret), unquote(secret)),
        *(json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]),
        *(raw.hex(), raw.hex(" "), raw.hex(":")),
    }
    # Hexadecimal digits, of all or of what is escaped, may be small or great.
    forms |= {_ESCAPED.sub(lambda found: found[0].lower(), form) for form in forms}
    forms |= {_ESCAPED.sub(lambda found: found[1] + found[2].upper(), form) for form in forms}
    forms |= {raw.hex().upper(), raw.hex(" ").upper(), raw.hex(":").upper()}
    for before in range(3):  # as base64 has it where 0, 1 or 2 bytes of something stand before it
        # The characters at both ends that depend on what stands beside it are not of it.
        coded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        core = coded[(0, 2, 3)[before] : len(coded) - (1 if (before + len(raw)) % 3 else 0)]
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= _LEAST}


def of_configuration(text: str) -> set[str]:
    """The secrets in a configuration, also in one with a fault, and their parts."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        found = _of_lines(text)
    else:
        found = {secret for table, values in raw.items() for secret in _secrets("", values, table)}
    return found | {part for secret in found for part in _parts(secret)}


def _secrets(key: str, value: Any, table: str) -> set[str]:
    """The texts below a key that is not known to be harmless, and sounds as if it were not."""
    if isinstance(value, dict):
        table = f"{table}.{key}" if key else table
        return {secret for name, item in value.items() for secret in _secrets(name, item, table)}
    if isinstance(value, list):
        return {secret for item in value for secret in _secrets(key, item, table)}
    return {str(value)} if _SECRET_KEY.search(key) and key not in _SHOWN.get(table, ()) else set()


def _of_lines(text: str) -> set[str]:
    """Where it is not TOML: what stands behind such keys, and the lines of a text of several."""
    harmless = {key for keys in _SHOWN.values() for key in keys}
    found = set()
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and _SECRET_KEY.search(key) and key.strip() not in harmless:
            found.add(value.strip().strip("\"'"))
        elif not re.match(r"\s*(\[|[\w.\"'-]+\s*=\s*[^=\s])", line):
            found.add(line.strip())
    return found - {"", '"""', "'''"}


def _parts(value: str) -> set[str]:
    """The lines of a key; user, password, both and what they become in a header, of a URL."""
    parts = {line for line in value.splitlines() if len(line) >= _SHORT and not line.startswith("-----")}
    if found := re.match(r"\w+://([^/@\s]+)@", value):
        user, _, password = found[1].partition(":")
        parts |= {found[1], password, unquote(password), f"{unquote(user)}:{unquote(password)}"}
    return parts - {""}


def of_device(configuration: str) -> set[str]:
    """The secrets of this device: of its configuration's text, its key, the session's leg, the way by TLS."""
    found = of_configuration(configuration)
    for path in (paths.KEY, paths.ENROL_KEY):
        found |= _parts(_read(path))
    found |= set(re.findall(r"[0-9a-f]{64}", _read(paths.VTUND_CONF)))
    with suppress(ValueError):
        authorization = str(json.loads(_read(paths.TLS)).get("authorization", ""))
        found |= {authorization, authorization.removeprefix("Basic ")} - {""}
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def shown_configuration(text: str) -> str:
    """The configuration without its secrets and comments; what cannot be parsed is left out whole."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return f"# left out, for it is not TOML: {error}\n"
    return "".join(line for table, values in raw.items() for line in _shown_table(table, values))


def _shown_table(table: str, values: Any) -> Iterator[str]:
    """The lines of a table and of those inside it."""
    yield f"[{table}]\n" if re.fullmatch(r"[\w.-]+", table) else f"[{json.dumps(table)}]\n"
    inner = {}
    for key, value in values.items() if isinstance(values, dict) else [("", LEFT_OUT)]:
        if isinstance(value, dict):
            inner[f"{table}.{key}"] = value
            continue
        shown = json.dumps(value if key in _SHOWN.get(table, ()) else LEFT_OUT, ensure_ascii=False)
        yield f"{key} = {shown}\n"
    yield "\n"
    for name, value in inner.items():
        yield from _shown_table(name, value)
