"""What of Debian's our packages need: stages of their own, done again only when that changes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from vtunlib.run import run

_FIELDS = r"${Package}\n${Pre-Depends}, ${Depends}\n"


def depends(debs: Iterable[Path], besides: Iterable[str] = ()) -> list[str]:
    """Names of the packages that `debs` need besides each other, and besides those that are named."""
    said = [run(["dpkg-deb", "--show", f"--showformat={_FIELDS}", str(deb)]).splitlines() for deb in debs]
    there = {*besides, *(name for name, _ in said)}
    return sorted({name for _, field in said for name in needed(field, there)})


def needed(field: str, there: Collection[str]) -> list[str]:
    """Names in a field like Depends (`a (>= 1) | b, c:any`) that are not there, the first of alternatives."""
    plain = re.sub(r"\(.*?\)|\[.*?\]|<.*?>", "", field)
    found = []
    for clause in plain.split(","):
        names = [name.strip().split(":")[0] for name in clause.split("|")]
        if names[0] and not set(names) & set(there):
            found.append(names[0])
    return found
