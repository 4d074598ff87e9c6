"""What must hold for every image before it leaves the build: nothing of one device, nothing open.

Each check is a function from what is in the image to its faults, in words.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from image import layout as places
from image.contents import Contents, contents, unsound
from image.recipe import CONFIG
from vtunlib.errors import FaultFound
from vtunlib.tunnel import Role

SIZE_LIMIT = {False: 4_000_000_000 * 95 // 100, True: 8_000_000_000 * 95 // 100}
"""Bytes: of a card sold as 4 GB, or as 8 GB for Raspberry Pi OS; cards hold less than they say."""
_RASPBERRY = frozenset({"etc/apt/sources.list.d/raspi.list", "etc/apt/sources.list.d/raspi.sources"})
"""Raspberry Pi OS is known by its archive: pi-gen writes /etc/rpi-issue only when it exports."""

_LOCKED = frozenset({"*", "!", "!*", "!!"})
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_UNIT_FOLDERS = ("lib/systemd/system", "usr/lib/systemd/system", "etc/systemd/system")
_UNIT_LINK = re.compile(r"etc/systemd/system/[^/]+\.(wants|requires)/([^/]+)")


def identity(found: Contents) -> list[str]:
    """One device's own: made when it first boots, never shared by all."""
    faults = [
        f"/{path} is one device's own"
        for path in found.entries
        if re.fullmatch(r"etc/ssh/ssh_host_.*|etc/tundev/id_.*|etc/tundev/tundev\.toml", path)
    ]
    for path in ("etc/machine-id", "var/lib/dbus/machine-id"):
        entry = found.entries.get(path)
        if entry and stat.S_ISREG(entry.mode) and entry.size:
            faults.append(f"/{path} has a machine's id")
    if "etc/machine-id" not in found.entries:
        faults.append("/etc/machine-id is missing: systemd would take every boot for the first one")
    return faults


def logins(found: Contents) -> list[str]:
    """Nobody can log in before tundev.toml says who may."""
    faults = []
    for line in found.text("etc/shadow").splitlines():
        account, password, *_ = [*line.split(":"), ""]
        if not password:
            faults.append(f"account {account} needs no password")
        elif password not in _LOCKED:
            faults.append(f"account {account} has a password")
    if not found.text("etc/shadow"):
        faults.append("/etc/shadow is missing")
    for path, entry in found.entries.items():
        named = PurePosixPath(path).name.startswith("authorized_keys") and not path.startswith("usr/share/")
        if named and entry.size:
            faults.append(f"/{path} lets somebody log in")
    return faults


def secrets(found: Contents) -> list[str]:
    """No key and no device's configuration, in the root or on the boot partition."""
    faults = []
    for name, folder in (("", found.root), (f"{places.BOOT_PATH}/", found.boot)):
        for file in sorted(folder.rglob("*")):
            path = f"/{name}{file.relative_to(folder)}"
            if file.name == "tundev.toml" and name:
                faults.append(f"{path} is a device's configuration")
            if file.is_symlink() or not file.is_file() or file.stat().st_size > places.MIB:
                continue
            if _PRIVATE_KEY.search(file.read_text(encoding="utf-8", errors="replace")):
                faults.append(f"{path} has a private key")
    return faults


def enabled(found: Contents) -> set[str]:
    """Names of the units that something starts, an instance by the name of its template."""
    units = {match[2] for path in found.entries if (match := _UNIT_LINK.fullmatch(path))}
    units |= {
        f"{PurePosixPath(path).name[3:]} (SysV)"
        for path in found.entries
        if re.fullmatch(r"etc/rc[2-5]\.d/S\d\d.*", path) and not _native(found, PurePosixPath(path).name[3:])
    }
    return {re.sub(r"@[^.]+\.", "@.", unit) for unit in units}


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


def _native(found: Contents, script: str) -> bool:
    """Whether systemd passes over an init script, for there is a unit of its name, or masked by it."""
    unit = f"{script.removesuffix('.sh')}.service"
    return any(f"{folder}/{unit}" in found.entries for folder in _UNIT_FOLDERS)


def units(found: Contents, role: Role, config: Path = CONFIG) -> list[str]:
    """Just the units that the presets name are enabled."""
    expected = set()
    for file in (config / "common.preset", config / f"{role}.preset"):
        expected |= set(re.findall(r"^enable (\S+)$", file.read_text(encoding="utf-8"), re.M))
    started = enabled(found)
    extra = [unit for unit in started if not any(fnmatch.fnmatchcase(unit, name) for name in expected)]
    absent = [name for name in expected if not fnmatch.filter(started, name) and not _static(found, name)]
    return [f"unit {unit} is enabled and not expected" for unit in sorted(extra)] + [
        f"unit {name} is expected and not enabled" for name in sorted(absent)
    ]


def _static(found: Contents, name: str) -> bool:
    """Whether it is there and others start it: it has nothing to enable."""
    paths = (f"{folder}/{name}" for folder in _UNIT_FOLDERS)
    texts = [found.text(path) for path in paths if path in found.entries]
    return bool(texts) and not any("[Install]" in text for text in texts)


def modes(found: Contents, config: Path = CONFIG) -> list[str]:
    """No file that anybody may write, no program with another's rights that is not known."""
    known = set((config / "setuid").read_text(encoding="utf-8").split("\n"))
    faults = []
    for path, entry in found.entries.items():
        kind = stat.S_IFMT(entry.mode)
        sticky = kind == stat.S_IFDIR and entry.mode & stat.S_ISVTX
        if entry.mode & stat.S_IWOTH and kind in {stat.S_IFREG, stat.S_IFDIR} and not sticky:
            faults.append(f"/{path} may be written by anybody")
        if kind == stat.S_IFREG and entry.mode & (stat.S_ISUID | stat.S_ISGID) and f"/{path}" not in known:
            faults.append(f"/{path} runs with another's rights and is not in pi-gen-config/setuid")
    return faults


def mounting(found: Contents) -> list[str]:
    """The root is this disk's, and read-only; nothing is swapped to the card; DNS is not the builder's."""
    faults = []
    words = ""
    command_line = found.boot / "cmdline.txt"
    if command_line.is_file():
        words = command_line.read_text(encoding="utf-8", errors="replace")
    if f"root=PARTUUID={found.layout.partuuid(2)}" not in words.split():
        faults.append("cmdline.txt does not name this image's root")
    if [word for word in words.split() if word in {"ro", "rw"}][-1:] != ["ro"]:
        faults.append("cmdline.txt has the root mounted writable")
    rows = [line.split() for line in found.text("etc/fstab").splitlines() if not line.startswith("#")]
    root = [row for row in rows if row[1:2] == ["/"]]
    if [row[0] for row in root] != [f"PARTUUID={found.layout.partuuid(2)}"]:
        faults.append("/etc/fstab does not name this image's root")
    elif "ro" not in root[0][3].split(","):
        faults.append("/etc/fstab has the root mounted writable")
    faults += [f"/etc/fstab has swap: {row[0]}" for row in rows if row[2:3] == ["swap"]]
    resolver = found.entries.get("etc/resolv.conf")
    if resolver and not stat.S_ISLNK(resolver.mode):
        faults.append("/etc/resolv.conf is a file: the builder's DNS servers, on a root that is read-only")
    if "usr/lib/clock-epoch" not in found.entries:
        faults.append("/usr/lib/clock-epoch is missing: the clock may start before the build's date")
    return faults


def size(found: Contents) -> list[str]:
    """It fits the card that the README says, and the data partition is empty."""
    faults = [f"the data partition has {name}" for name in sorted(found.data)]
    limit = SIZE_LIMIT[not _RASPBERRY.isdisjoint(found.entries)]
    if found.image_size > limit:
        faults.append(
            f"the image is {found.image_size / 1e6:.0f} MB, more than the {limit / 1e6:.0f} it may be"
        )
    return faults


def faults_in(found: Contents, role: Role) -> list[str]:
    """All faults of an image that was read."""
    checks: list[Callable[[Contents], Sequence[str]]] = [
        identity,
        logins,
        secrets,
        generators,
        modes,
        mounting,
    ]
    return [*(fault for check in [*checks, size] for fault in check(found)), *units(found, role)]


def check(image: Path, role: Role, work: Path) -> list[str]:
    """All faults of an image; `work` is a folder for what is read of it. Raises RdvError."""
    try:
        layout = places.read(image)
    except ValueError as error:
        return [f"{image.name} is no image of ours: {error}"]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        return [*unsound(image, layout), *faults_in(contents(image, layout, work), role)]
    finally:
        shutil.rmtree(work)


def accept(image: Path, role: Role, work: Path) -> None:
    """Raises FaultFound with every fault, one a line on standard output before."""
    faults = check(image, role, work)
    for fault in faults:
        print(f"image: fault: {fault}", flush=True)
    if faults:
        raise FaultFound(f"{image.name} has {len(faults)} fault{'s'[: len(faults) > 1]}", "; ".join(faults))
