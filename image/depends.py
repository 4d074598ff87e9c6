"""What of Debian's our packages need: a stage of its own, done again only when that changes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vtunlib.run import run

_FIELDS = r"${Package}\n${Pre-Depends}\n${Depends}\n"


def depends(debs: Iterable[Path]) -> list[str]:
    """Names of the packages, by the first of alternatives; those among `debs` left out."""
    own: set[str] = set()
    found: set[str] = set()
    for deb in debs:
        name, *lists = run(["dpkg-deb", "--show", f"--showformat={_FIELDS}", str(deb)]).splitlines()
        own.add(name)
        found |= set(names(", ".join(filter(None, lists))))
    return sorted(found - own)


def names(field: str) -> list[str]:
    """Those in a field like Depends, without versions and architectures: `a (>= 1) | b, c:any`."""
    clauses = (re.sub(r"\(.*?\)|\[.*?\]|<.*?>", "", clause.split("|")[0]) for clause in field.split(","))
    return [name for clause in clauses if (name := clause.strip().split(":")[0])]
