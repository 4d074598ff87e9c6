"""The three roles as layers of the machines' roots: what `apt install ./x.deb` makes of the base root.

A role is installed once per content of its packages, by apt in a booted machine without
network; what it wrote is kept and laid below the machines of that role.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

from tests.lab.base import base_root, recipe
from tests.lab.clean import remove_host
from tests.lab.debian import REPOSITORY, forget_old
from tests.lab.machine import Machine
from tests.lab.place import CACHE, Place
from tests.lab.process import LabError, run

DIST = REPOSITORY / "dist"
KEPT = 12  # layers of a role that stay

# What belongs to one machine and must not be shared by all of a role.
_OWN = (
    *("etc/machine-id", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/tundev/id_ed25519"),
    *("etc/rdv/ssh_host_ed25519_key", "etc/rdv/ssh_host_ed25519_key.pub", "etc/rdv/tls"),
    *("etc/tundev/id_ed25519.pub", "var/log/journal", "var/lib/NetworkManager", "var/lib/dbus/machine-id"),
    *("var/lib/systemd/random-seed", "var/cache/apt", "debs", "root"),
)


class Role(StrEnum):
    """What a machine of the lab is."""

    RDV = "rdv"
    ONSITE = "onsite"
    MASTER = "master"


PACKAGES = {
    Role.RDV: ("python3-vtunlib", "rdv-server"),
    Role.ONSITE: ("python3-vtunlib", "tundev-common", "tundev-onsite"),
    Role.MASTER: ("python3-vtunlib", "tundev-common", "tundev-master"),
}


def packages_of(role: Role, dist: Path = DIST) -> list[Path]:
    """The newest .deb of each package of the role; LabError if one is not there."""
    return [newest(name, dist) for name in PACKAGES[role]]


def newest(name: str, dist: Path = DIST) -> Path:
    """The newest .deb of the package; LabError if there is none."""
    built = sorted(dist.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise LabError(f"there is no {name}_*.deb in {dist}; make deb builds it")
    return built[-1]


def layers(place: Place, roles: set[Role], dist: Path = DIST) -> dict[Role, list[Path]]:
    """The lower directories of each role's machines, the uppermost first."""
    root = base_root()
    with ThreadPoolExecutor(len(roles)) as pool:
        made = {role: pool.submit(_layer, place, root, role, dist) for role in roles}
        return {role: [future.result(), root] for role, future in made.items()}


def installed(dist: Path = DIST) -> bool:
    """Whether every role's layer is there already."""
    root = CACHE / recipe().key / "root"
    return root.is_dir() and all(_where(root, role, packages_of(role, dist)).is_dir() for role in Role)


def _where(root: Path, role: Role, debs: list[Path]) -> Path:
    """The directory of a layer, named by what is in it."""
    digest = hashlib.sha256("\n".join(_OWN).encode())
    for deb in debs:
        digest.update(deb.read_bytes())
    return root.parent / "layers" / f"{role}-{digest.hexdigest()[:16]}"


def _layer(place: Place, root: Path, role: Role, dist: Path) -> Path:
    debs = packages_of(role, dist)
    layer = _where(root, role, debs)
    if not layer.is_dir():
        _install(place, root, role, debs, layer)
        forget_old(layer.parent.glob(f"{role}-*"), layer, KEPT)
    os.utime(layer)
    return layer


def _install(place: Place, root: Path, role: Role, debs: list[Path], layer: Path) -> None:
    offered = place.path / f"{role}-debs"
    offered.mkdir()
    for deb in debs:
        shutil.copy2(deb, offered)
    machine = Machine(place, f"new{role}", [root], binds=[f"--bind-ro={offered}:/debs"])
    machine.create()
    machine.boot()
    names = [f"/debs/{deb.name}" for deb in debs]
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends"]
    machine.run([*apt, *names], deadline=180)
    machine.stop()
    run(["umount", str(machine.root)])
    for name in _OWN:
        _delete(machine.upper / name)
    part = layer.with_name(f"{layer.name}.{place.lab}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(exist_ok=True)
    # cp, because overlayfs marks what was deleted by device nodes and extended attributes.
    run(["cp", "--archive", str(machine.upper), str(part)], deadline=120)
    try:
        part.rename(layer)
    except OSError:  # another lab was faster
        shutil.rmtree(part)
    remove_host(machine)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
