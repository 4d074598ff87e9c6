"""What else lies on the boot partition: a bundle under another name, and what keeps a device's secrets.

Browsers, editors and file managers make copies, and FAT's repair makes files of what was lost.
They are a person's: told of by name, never changed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from tundev.firstboot.secret_values import KEPT, SECRETS, is_secret
from vtunlib.errors import printable

_TOLD = 5
"""Names: who has deleted these is told the next ones."""
_NAME_LIMIT = 50
"""Characters of each."""
_MEANT = ("*.toml*", "tundev*")
"""In small letters: FAT keeps both and tells them not apart."""
_BUNDLE = re.compile(r"\[\s*rdv\s*\]|\benrol_key\b")
_BY_KEY = {where[-1]: where for where in SECRETS}
_VALUE = re.compile(rf"\b({'|'.join(_BY_KEY)})\b[\"']?[ \t]*=[ \t]*(\S.*)")


def misnamed(others: Mapping[str, bytes]) -> str | None:
    """The files that are meant to be the bundle, by name and text; None where none is."""
    return _told(
        name
        for name, data in others.items()
        if any(fnmatchcase(name.lower(), form) for form in _MEANT)
        and not name.startswith(".")  # what programs keep for themselves
        and _BUNDLE.search(_text(data))
    )


def exposed(others: Mapping[str, bytes]) -> str | None:
    """The files that hold a device's secrets; None where none does."""
    return _told(name for name, data in others.items() if _has_secrets(_text(data)))


def _has_secrets(text: str) -> bool:
    """Comments count: whoever finds the card reads them too."""
    return bool(_BUNDLE.search(text)) and any(
        KEPT not in value and is_secret(_BY_KEY[key], value) for key, value in _VALUE.findall(text)
    )


def _text(data: bytes) -> str:
    """Without NULs: in UTF-16 every other byte is one, and what was once repaired ends with many."""
    return data.replace(b"\0", b"").decode("utf-8", "replace")


def _told(names: Iterable[str]) -> str | None:
    shown = [printable(name, _NAME_LIMIT) for name in sorted(names)]
    more = [f"{len(shown) - _TOLD} more"] if len(shown) > _TOLD else []
    return ", ".join([*shown[:_TOLD], *more]) or None
