"""What makes this RDV this RDV, in one archive: its keys, its devices, its settings, its audit store.

A compressed tar of /etc/rdv and /var/lib/rdv with a manifest at its head, readable by
`tar` alone. It holds private keys: whoever has it can pass for this server.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from rdv.backup import restore_mark
from vtunlib.errors import MissingProgram, RdvError
from vtunlib.run import run

FORMAT = 1
"""Of the archive; a change that this reader would not understand counts it up."""
MANIFEST = "manifest.json"
TREES = ("etc/rdv", "var/lib/rdv")
PROGRAMS = ("etc/rdv/sshd_config", "etc/rdv/stunnel.conf")
"""Configuration in another program's words: each version brings its own, unless the admin changed it."""
PACKAGE = "rdv-server"
RESTORING = (".restore", restore_mark.FILE.name)
"""What a restore keeps beside the files until it is done: its stage and its mark."""

_SCRATCH = "/var/tmp"  # noqa: S108  # a folder of our own in it
"""On a disk: a copy of the audit may be larger than memory."""
_SQLITE = b"SQLite format 3\0"
BESIDE_DATABASE = ("-wal", "-shm", "-journal")
"""Ends of the names of what SQLite keeps beside a database."""
_PASSING = (*BESIDE_DATABASE, ".new")
"""Ends of the names of what is being written, and is in its place a moment later."""
_WRITER_SECONDS = 30.0
"""How long another's write to a database is waited for."""


@dataclass(frozen=True)
class Manifest:
    """What the archive says of itself. files: SHA-256 by name; made: ISO 8601 with its offset."""

    version: str
    host: str
    made: str
    files: Mapping[str, str]
    format: int = FORMAT


def write(archive: BinaryIO, root: Path = Path("/")) -> Manifest:
    """Write the backup of the server below `root`, of a running one too. Raises RdvError, OSError."""
    with tempfile.TemporaryDirectory(prefix="rdv-backup-", dir=_SCRATCH) as folder:
        copies = Path(folder)
        files: dict[str, str] = {}
        members: list[tuple[tarfile.TarInfo, Path | bytes]] = []
        for name in names(root):
            info = _info(root, name)
            content: Path | bytes = b""
            if info.isreg():
                content = _content(root / name, copies / str(len(members)))
                info.size = content.stat().st_size if isinstance(content, Path) else len(content)
                files[name] = digest(content)
            members.append((info, content))
        manifest = Manifest(
            version=installed_version(),
            host=platform.node(),
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            files=files,
        )
        with tarfile.open(fileobj=archive, mode="w|gz") as tar:
            head = tarfile.TarInfo(MANIFEST)
            text = json.dumps(asdict(manifest), indent=1).encode()
            head.size, head.mode = len(text), 0o600
            tar.addfile(head, io.BytesIO(text))
            for info, content in members:
                with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as file:
                    tar.addfile(info, file)
        return manifest


def names(root: Path) -> list[str]:
    """The files and folders that a backup has, as `etc/rdv/keys/rpi1100`; a folder before what is in it."""
    kept = _as_shipped(root)
    return [
        name for tree in TREES if (root / tree).is_dir() for name in _below(root, tree) if name not in kept
    ]


def _below(root: Path, folder: str) -> Iterator[str]:
    yield folder
    for path in sorted((root / folder).iterdir()):
        if path.name in RESTORING or path.name.endswith(_PASSING):
            continue
        name = f"{folder}/{path.name}"
        if path.is_dir() and not path.is_symlink():
            yield from _below(root, name)
        else:
            yield name


def _as_shipped(root: Path) -> set[str]:
    """Those of PROGRAMS that are as the package brought them."""
    same = set()
    for line in _dpkg_query("${Conffiles}").splitlines():
        words = line.split()
        if len(words) < 2 or words[0].lstrip("/") not in PROGRAMS:
            continue
        name = words[0].lstrip("/")
        try:
            # MD5 is dpkg's; nothing is trusted for it.
            md5 = hashlib.md5((root / name).read_bytes(), usedforsecurity=False).hexdigest()
        except FileNotFoundError:
            continue
        if md5 == words[1]:
            same.add(name)
    return same


def _info(root: Path, name: str) -> tarfile.TarInfo:
    path = root / name
    try:
        # Followed: a link to a certificate elsewhere leads nowhere on another host.
        status = path.stat()
    except FileNotFoundError:
        raise RdvError(f"{path} leads to a file that is not there", "repair or remove the link") from None
    info = tarfile.TarInfo(name)
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif not stat.S_ISREG(status.st_mode):
        raise RdvError(f"{path} is no file", "nothing of an RDV is kept in such a thing: remove it")
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    try:
        info.uname, info.gname = path.owner(), path.group()
    except KeyError:
        raise RdvError(f"the owner of {path} has no account", "chown it") from None
    return info


def _content(path: Path, copy: Path) -> Path | bytes:
    """The file's content; of a database a copy, whole whoever writes to it meanwhile."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            file.seek(0)
            return file.read()
    try:
        with (
            closing(sqlite3.connect(path, timeout=_WRITER_SECONDS)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            # One file, without a log beside it.
            target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise RdvError(f"cannot copy the database {path}: {error}") from None
    return copy


def digest(content: Path | bytes) -> str:
    """SHA-256 in hexadecimal."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed_version() -> str:
    """The package's version; `0` where the server was not installed by it."""
    return _dpkg_query("${Version}").strip() or "0"


def _dpkg_query(form: str) -> str:
    try:
        return run(["dpkg-query", "--show", f"--showformat={form}", PACKAGE])
    except MissingProgram:
        raise
    except RdvError:
        return ""  # not installed


def save(path: Path, root: Path = Path("/")) -> Manifest:
    """Write the backup to a file that only root can read, whole or not at all. Raises RdvError."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                manifest = write(file, root)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise RdvError(f"cannot write {path}: {error.strerror}") from None
    return manifest
