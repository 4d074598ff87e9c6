"""Nothing of one device and nothing of the builder: no identity, no secret, no way in.

What is in a package that is not ours is known to everybody, and no secret: gnutls has keys for its tests.
"""

from __future__ import annotations

import stat
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from image import layout as places
from image.contents import Contents
from image.finish import BUILDERS, DEVICES, LEFT, names
from image.key_search import PRIVATE_KEY, files_with_keys
from image.recipe import Recipe
from vtunlib.tunnel import Role

_LOCKED = frozenset({"*", "!", "!*", "!!"})
_IN_SHADOW = frozenset({"x"})
"""passwd(5)."""
_KINDS = (
    (DEVICES, "is one device's own"),
    (BUILDERS, "is the builder's"),
    (LEFT, "was left by an installation"),
)
_KEYS = ("id_rsa", "id_dsa", "id_ecdsa*", "id_ed25519*", "ssh_host_*_key", "*.p12", "*.pfx", "*.ppk", "*.jks")
"""Names of private keys, of which not all have a text that tells them."""
_CONNECTIONS = ("etc/NetworkManager/system-connections/*", "usr/lib/NetworkManager/system-connections/*")
_WPA_SUPPLICANT = "etc/wpa_supplicant/"


def identity(found: Contents, role: Role) -> list[str]:
    """What each device makes for itself, and what it is called before it does."""
    faults = []
    entry = found.entries.get("etc/machine-id")
    if entry is None:
        faults.append("/etc/machine-id is missing: systemd would take every boot for the first one")
    elif entry.size:
        faults.append("/etc/machine-id has a machine's id")
    for path, text in names(role).items():
        if found.text(path) != text:
            faults.append(f"/{path} does not name the device as every image does")
    return faults


def accounts(found: Contents) -> list[str]:
    """None has a password, and none but root is root."""
    faults = [f"/{path} is missing" for path in ("etc/passwd", "etc/shadow") if not found.text(path)]
    for line in found.text("etc/passwd").splitlines():
        account, password, user, *_ = [*line.split(":"), "", ""]
        if password not in _IN_SHADOW:
            faults.append(f"account {account} has its password, or needs none, in /etc/passwd")
        if account != "root" and not user.strip("0"):
            faults.append(f"account {account} is root by another name")
    for line in found.text("etc/shadow").splitlines():
        account, password, *_ = [*line.split(":"), ""]
        if not password:
            faults.append(f"account {account} needs no password")
        elif password not in _LOCKED:
            faults.append(f"account {account} has a password")
    return faults


def authorized(found: Contents) -> list[str]:
    """Nobody can log in by key before tundev.toml says who may."""
    return [
        f"/{path} lets somebody log in"
        for path, entry in found.entries.items()
        if PurePosixPath(path).name.startswith("authorized_keys")
        and not path.startswith("usr/share/")
        and entry.size
    ]


def leftovers(found: Contents, role: Role) -> list[str]:
    """What image/finish.py takes away, keys by their names, connections."""
    return [
        f"/{path} {why}"
        for path, entry in found.entries.items()
        if (why := _unwanted(path, stat.S_ISDIR(entry.mode))) and not _is_known(found, path, role)
    ] + [
        f"/{path} has a network of somebody's"
        for path in found.entries
        if path.startswith(_WPA_SUPPLICANT) and "network={" in found.text(path)
    ]


def _unwanted(path: str, folder: bool) -> str:
    """Why; empty where it may be there."""
    for patterns, why in _KINDS:
        if any(_matches(path, pattern) for pattern in patterns):
            return why
    name = PurePosixPath(path).name
    if folder:
        return ""
    if any(fnmatchcase(name, pattern) for pattern in _KEYS):
        return "is somebody's key, by its name"
    if name.endswith(".nmconnection") or any(_matches(path, pattern) for pattern in _CONNECTIONS):
        return "is somebody's connection"
    return ""


def _matches(path: str, pattern: str) -> bool:
    """As Path.glob: no wildcard goes beyond its folder."""
    parts = path.split("/"), pattern.split("/")
    return len(parts[0]) == len(parts[1]) and all(map(fnmatchcase, *parts))


def _is_known(found: Contents, path: str, role: Role) -> bool:
    """Whether it is in a package that everybody has."""
    return found.owners.get(path) not in {None, *Recipe(role).packages}


def private_keys(found: Contents, image: Path, role: Role) -> list[str]:
    """In a file of the root, or of the boot partition, which no device's configuration is on either."""
    faults = [
        f"/{path} has a private key"
        for path in files_with_keys(image, found.layout.partitions[1])
        if not _is_known(found, path, role)
    ]
    for file in sorted(found.boot.rglob("*")):
        path = f"/{places.BOOT_PATH}/{file.relative_to(found.boot)}"
        if file.name == "tundev.toml":
            faults.append(f"{path} is a device's configuration")
        if file.is_file() and PRIVATE_KEY.search(file.read_bytes()):
            faults.append(f"{path} has a private key")
    return faults
