"""nftables tables and kernel parameters."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vtunlib.errors import RdvError
from vtunlib.network.item import Item
from vtunlib.network.kernel import Kernel

_TABLE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_COMMENT = re.compile(r'^\s*comment "rdv:([0-9a-f]{16})"', re.MULTILINE)


@dataclass(frozen=True)
class NftTable(Item):
    """One table of nftables; text: what stands between its braces.

    It comes and changes in one transaction. A hash of the text, kept as the
    table's comment, tells whether it is already so; a rule that someone else
    changed in it is not seen.
    """

    family: Literal["inet", "ip", "bridge"]
    name: str
    text: str

    def __post_init__(self) -> None:
        if not _TABLE_NAME.fullmatch(self.name):
            raise RdvError(f"{self.name!r} is no name for a table of nftables")

    @property
    def key(self) -> Hashable:
        return ("nft", self.family, self.name)

    def do(self, _kernel: Kernel, /) -> None:
        if self._present() == self._hash():
            return
        table = f"table {self.family} {self.name}"
        # `add` makes the `delete` succeed also where there was none.
        _nft(f'add {table}\ndelete {table}\n{table} {{\ncomment "rdv:{self._hash()}"\n{self.text}\n}}\n')

    def undo(self, _kernel: Kernel, _former: str | None, /) -> None:
        table = f"table {self.family} {self.name}"
        if self._present() is not None:
            _nft(f"add {table}\ndelete {table}\n")

    def _hash(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def _present(self) -> str | None:
        """The hash of the table that is there, empty for one of someone else's, None without one."""
        if f"table {self.family} {self.name}" not in _nft(f"list tables {self.family}").splitlines():
            return None
        found = _COMMENT.search(_nft(f"list table {self.family} {self.name}", terse=True))
        return found[1] if found else ""


def rule_set() -> list[dict[str, Any]]:
    """All tables of nftables, whoever made them, as libnftables-json(5) has them. Raises RdvError."""
    found: list[dict[str, Any]] = json.loads(_nft("list ruleset", as_json=True))["nftables"]
    return found


def _nft(commands: str, *, terse: bool = False, as_json: bool = False) -> str:
    """What libnftables answers, one transaction. Its netlink socket is opened in this thread's namespace."""
    from nftables import Nftables

    nft = Nftables()
    nft.set_terse_output(terse)
    nft.set_json_output(as_json)
    status, output, error = nft.cmd(commands)
    if status:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise RdvError(f"nftables: {lines[0] if lines else 'refused'}")
    return str(output)


@dataclass(frozen=True)
class Sysctl(Item):
    """A kernel parameter; key as in sysctl(8): `net.ipv4.ip_forward`, or with slashes throughout.

    Undone, it gets back its former value; without memory of that, `otherwise`,
    or where that is None it is left alone.
    """

    name: str
    value: str
    otherwise: str | None = None

    def __post_init__(self) -> None:
        if not self.name or ".." in self._path().parts or self.name.startswith("/"):
            raise RdvError(f"{self.name!r} is no kernel parameter")

    @property
    def key(self) -> Hashable:
        return ("sysctl", self._path())

    def do(self, _kernel: Kernel, /) -> str | None:
        former = self._read()
        if former == self.value:
            return None
        self._write(self.value)
        return former

    def undo(self, _kernel: Kernel, former: str | None, /) -> None:
        value = self.otherwise if former is None else former
        if value is None:
            return
        try:
            if self._read() != value:
                self._write(value)
        except RdvError:
            if self._path().exists():  # else the parameter of a link is gone with it
                raise

    def _path(self) -> Path:
        # An interface's name may hold dots, hence the form with slashes.
        name = self.name if "/" in self.name else self.name.replace(".", "/")
        return Path("/proc/sys") / name

    def _read(self) -> str:
        try:
            return self._path().read_text().strip()
        except OSError as error:
            raise RdvError(f"cannot read {self.name}: {error.strerror}") from None

    def _write(self, value: str) -> None:
        try:
            self._path().write_text(value)
        except OSError as error:
            raise RdvError(f"cannot set {self.name} to {value}: {error.strerror}") from None
