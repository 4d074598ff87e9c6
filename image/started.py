"""Which units an image starts, and which of them nobody expects.

What starts a unit is a link in a folder `….wants` or `….requires`. Those below /etc are made by presets,
those below /usr by packages, and only those of the system itself are taken as they come.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from image.contents import Contents
from image.recipe import CONFIG
from vtunlib.tunnel import Role

ETC = "etc/systemd/system"
_FOLDERS = ("lib/systemd/system", "usr/lib/systemd/system", "usr/local/lib/systemd/system", ETC)
_LINK = re.compile(rf"({'|'.join(_FOLDERS)})/[^/]+\.(?:wants|requires|upholds)/([^/]+)")
_SYSTEM = ("systemd*", "udev", "dbus*")
"""Packages, by name, whose own links are what a system is started by."""


def by_packages(paths: Iterable[str], owners: Mapping[str, str]) -> set[str]:
    """The units that links below /usr start, but for those of the system's own packages."""
    found = set()
    for path in paths:
        match = _LINK.fullmatch(path)
        if match and match[1] != ETC and not _is_any(owners.get(path, ""), _SYSTEM):
            found.add(match[2])
    return found


def expected(role: Role, config: Path = CONFIG) -> set[str]:
    """What the presets name: units, with the wildcards of systemd.preset(5)."""
    texts = [(config / f"{name}.preset").read_text(encoding="utf-8") for name in ("common", role)]
    return {name for text in texts for name in re.findall(r"^enable (\S+)$", text, re.M)}


def unwanted(units: Iterable[str], role: Role, config: Path = CONFIG) -> list[str]:
    """Those that the presets do not name, in order."""
    names = expected(role, config)
    return sorted(unit for unit in units if not _is_any(_template(unit), names))


def enabled(found: Contents) -> set[str]:
    """Names of the units that something starts, an instance by the name of its template."""
    units = {match[2] for path in found.entries if (match := _LINK.fullmatch(path)) and match[1] == ETC}
    units |= {unit for unit in by_packages(found.entries, found.owners) if not _masked(found, unit)}
    units |= {
        f"{PurePosixPath(path).name[3:]} (SysV)"
        for path in found.entries
        if re.fullmatch(r"etc/rc[2-5]\.d/S\d\d.*", path) and not _native(found, PurePosixPath(path).name[3:])
    }
    return {_template(unit) for unit in units}


def _template(unit: str) -> str:
    return re.sub(r"@[^.]+\.", "@.", unit)


def _is_any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _masked(found: Contents, unit: str) -> bool:
    # A file of its own in its place would have been put there by a person.
    entry = found.entries.get(f"{ETC}/{unit}")
    return entry is not None and entry.is_link and (found.root / ETC / unit).readlink() == Path("/dev/null")


def _native(found: Contents, script: str) -> bool:
    """Whether systemd passes over an init script, for there is a unit of its name, or masked by it."""
    unit = f"{script.removesuffix('.sh')}.service"
    return any(f"{folder}/{unit}" in found.entries for folder in _FOLDERS)


def _static(found: Contents, name: str) -> bool:
    """Whether it is there and others start it: it has nothing to enable."""
    paths = (f"{folder}/{name}" for folder in _FOLDERS)
    texts = [found.text(path) for path in paths if path in found.entries]
    return bool(texts) and not any("[Install]" in text for text in texts)


def units(found: Contents, role: Role, config: Path = CONFIG) -> list[str]:
    """Just the units that the presets name are enabled."""
    running = enabled(found)
    absent = [
        name
        for name in expected(role, config)
        if not fnmatch.filter(running, name) and not _static(found, name)
    ]
    return [f"unit {unit} is enabled and not expected" for unit in unwanted(running, role, config)] + [
        f"unit {name} is expected and not enabled" for name in sorted(absent)
    ]


def generators(found: Contents) -> list[str]:
    """No generator but systemd's own: they start what no preset names."""
    folder = "systemd/system-generators/"
    names = {path.rpartition("/")[2] for path in found.entries if path.startswith(f"usr/lib/{folder}")}
    return [
        f"generator {name} starts units that no preset names"
        for name in sorted(names)
        if (not name.startswith("systemd-") or name == "systemd-ssh-generator")
        and f"etc/{folder}{name}" not in found.entries
    ]
