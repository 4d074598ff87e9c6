"""Putting a backup in place of what an RDV has: read, checked and staged first, then renamed.

A backup is input: nothing of it is believed that was not checked, and until all of it
was checked nothing of this server changes. What an interrupted restore leaves is a mark
that says so (rdv.backup.restore_mark); doing the restore again finishes it.
"""

from __future__ import annotations

import fcntl
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rdv.backup import archive as backup
from rdv.backup.archive import BESIDE_DATABASE, FORMAT, MANIFEST, RESTORING, TREES, Manifest
from rdv.devices import Device, DeviceStore
from vtunlib.errors import Busy, ConfigError, RdvError
from vtunlib.run import run

_STAGE = RESTORING[0]

_NAME = re.compile(rf"(?:{'|'.join(TREES)})(?:/\.?[A-Za-z0-9_@+][A-Za-z0-9_@+.-]*)*")
_CERTIFICATE = "etc/rdv/tls/server.pem"
_MANIFEST_BYTES = 64 << 20
_CHUNK = 1 << 20
_KEY_LINES = re.compile(r'(?:restrict,[^\n]*command="[a-z]+" ssh-ed25519 [^\n]+\n)*')


class Staged:
    """A backup that was read and checked, beside what it is to replace."""

    def __init__(self, root: Path, manifest: Manifest, found: set[str]) -> None:
        self._root = root
        self.manifest = manifest
        self._found = found
        devices = DeviceStore(self._path("etc/rdv/devices.d")).all()
        self.devices = [device for device in devices if isinstance(device, Device)]
        self.faults = [str(device) for device in devices if isinstance(device, ConfigError)]
        """Devices that stay refused: what an admin has to mend is no reason to have no server."""

    def _path(self, name: str) -> Path:
        return _staged(self._root, name)

    def differs(self) -> list[str]:
        """The files below /etc/rdv that are here and are not, or are otherwise, in the backup.

        Certificates are passed over: a host with the CA makes them anew, for its own addresses.
        """
        return [
            name
            for name in backup.names(self._root)
            if name.startswith(f"{TREES[0]}/")
            and not name.startswith(_CERTIFICATE)
            and (self._root / name).is_file()
            and self.manifest.files.get(name) != backup.digest(self._root / name)
        ]

    def put(self) -> None:
        """Every file in its place, each by one rename; what the backup does not have goes."""
        there = backup.names(self._root)
        for name in sorted(self._found):
            source, target = self._path(name), self._root / name
            if source.is_dir():
                target.mkdir(mode=0o700, exist_ok=True)
                status = source.stat()
                os.chown(target, status.st_uid, status.st_gid)
                target.chmod(stat.S_IMODE(status.st_mode))
            else:
                _forget_log(target)
                source.rename(target)
        for name in there:
            if name not in self._found and (self._root / name).is_file() and not self._stays(name):
                _forget_log(self._root / name)
                (self._root / name).unlink()
        os.sync()

    def _stays(self, name: str) -> bool:
        """What the package brings, or makes where it is missing, and the backup says nothing about."""
        folder = name.rsplit("/", 1)[0]
        return name in backup.PROGRAMS or (folder == "etc/rdv/tls" and folder not in self._found)


@contextmanager
def staged(archive: BinaryIO, root: Path = Path("/")) -> Iterator[Staged]:
    """The backup in `archive`, checked. Nothing of it stays. Raises ConfigError, Busy, RdvError."""
    folder = root / TREES[0]
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("a backup is being restored already", "wait for it") from None
        _clear(root)
        try:
            manifest, found = _read(archive, root)
            _check_settings(root, found)
            yield Staged(root, manifest, found)
        finally:
            _clear(root)
    finally:
        os.close(lock)


def _clear(root: Path) -> None:
    for tree in TREES:
        shutil.rmtree(root / tree / _STAGE, ignore_errors=True)


def _staged(root: Path, name: str) -> Path:
    """Where that member is kept until its turn: on the file system of its place, so a rename moves it."""
    tree = next(tree for tree in TREES if name == tree or name.startswith(f"{tree}/"))
    return root / tree / _STAGE / name.removeprefix(tree).lstrip("/")


def _read(archive: BinaryIO, root: Path) -> tuple[Manifest, set[str]]:
    """The manifest, and the names of what was staged. Raises ConfigError."""
    try:
        with tarfile.open(fileobj=archive, mode="r|gz") as tar:
            head = tar.next()
            if head is None or head.name != MANIFEST or not head.isreg() or head.size > _MANIFEST_BYTES:
                raise ConfigError("that is no backup of an RDV", "expected what 'rdv-admin backup' wrote")
            manifest = _manifest(_content(tar, head).read())
            found: set[str] = set()
            while (member := tar.next()) is not None:
                _stage(tar, member, manifest, root)
                found.add(member.name)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise ConfigError(f"the backup cannot be read: {error}", "is it whole?") from None
    if missing := sorted(set(manifest.files) - found):
        raise ConfigError(f"the backup lacks {missing[0]}", "is it whole?")
    return manifest, found


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    file = tar.extractfile(member)
    assert file is not None  # it is a regular file
    return file


def _manifest(text: bytes) -> Manifest:
    try:
        data = json.loads(text)
        number = data["format"]
        if not isinstance(number, int) or number > FORMAT:
            raise ConfigError(f"the backup has format {number}", "restore it with the version that wrote it")
        manifest = Manifest(
            version=str(data["version"]),
            host=str(data["host"]),
            made=str(data["made"]),
            files={str(name): str(digest) for name, digest in data["files"].items()},
            format=number,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError("the backup's manifest is damaged", "is it whole?") from None
    _check_version(manifest.version)
    return manifest


def _check_version(version: str) -> None:
    here = backup.installed_version()
    try:
        run(["dpkg", "--compare-versions", here, "ge", version])
    except RdvError:
        raise ConfigError(
            f"the backup is of version {version}, this server has {here}", "upgrade this server first"
        ) from None


def _stage(tar: tarfile.TarFile, member: tarfile.TarInfo, manifest: Manifest, root: Path) -> None:
    """Write one member below the stage, as it is to be. Raises ConfigError."""
    if not _NAME.fullmatch(member.name) or set(RESTORING) & set(member.name.split("/")):
        raise ConfigError(f"the backup has a member {member.name!r}", "no backup of an RDV has")
    if not (member.isreg() or member.isdir()):
        raise ConfigError(
            f"{member.name} in the backup is neither file nor folder", "no backup of an RDV has"
        )
    if (member.name in manifest.files) is not member.isreg():
        raise ConfigError(f"{member.name} is not in the backup's manifest", "is it whole?")
    path = _staged(root, member.name)
    owner, group = _owner(member)
    if member.isdir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    else:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            source, digest = _content(tar, member), hashlib.sha256()
            while chunk := source.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != manifest.files[member.name]:
            raise ConfigError(f"{member.name} in the backup is damaged", "take an older backup")
    os.chown(path, owner, group)
    # Nobody but the owner ever writes there, and no bit gives rights away.
    path.chmod(member.mode & 0o755)


def _owner(member: tarfile.TarInfo) -> tuple[int, int]:
    try:
        return pwd.getpwnam(member.uname).pw_uid, grp.getgrnam(member.gname).gr_gid
    except KeyError:
        raise ConfigError(
            f"{member.name} belongs to {member.uname}:{member.gname} in the backup, unknown here",
            "install the server's package first",
        ) from None


def _check_settings(root: Path, found: set[str]) -> None:
    """What would open this server to others, or keep it from starting. Raises ConfigError, RdvError."""
    if "etc/rdv/ssh_host_ed25519_key" not in found:
        raise ConfigError("the backup has no host key", "without it no device would trust this server")
    for name in sorted(found):
        if name.startswith("etc/rdv/keys/"):
            lines = _staged(root, name).read_bytes().decode("ascii", errors="replace")
            if not _KEY_LINES.fullmatch(lines):
                raise ConfigError(f"{name} in the backup has a line that is no device's key")
    config = "etc/rdv/sshd_config"
    if config in found:
        # sshd looks for it even when it only tests, and the host's own sshd may not run.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        run(["/usr/sbin/sshd", "-t", "-f", str(_staged(root, config))])


def _forget_log(database: Path) -> None:
    """A log beside a database that goes would be taken for the next one's."""
    for end in BESIDE_DATABASE:
        database.with_name(database.name + end).unlink(missing_ok=True)
