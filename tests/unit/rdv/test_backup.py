"""A backup and its restore: what is in it, what of it is believed, what an interruption leaves."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rdv.backup import archive as backup
from rdv.backup import restore, restore_mark
from vtunlib.errors import Busy, ConfigError, RdvError

KEY = (
    'restrict,command="shell" ssh-ed25519 AAAA rpi1100\n'
    'restrict,expiry-time="20261201120000",command="enrol" ssh-ed25519 BBBB rpi1100\n'
)
EVENTS = "var/lib/rdv/events.db"


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A server's files, its database in use."""
    root = tmp_path / "old"
    for folder in ("etc/rdv/keys", "etc/rdv/devices.d", "etc/rdv/tls", "var/lib/rdv"):
        (root / folder).mkdir(parents=True)
    (root / "etc/rdv/ssh_host_ed25519_key").write_text("private")
    (root / "etc/rdv/ssh_host_ed25519_key").chmod(0o600)
    (root / "etc/rdv/rdv.toml").write_text('[server]\nname = "rdv.example.com"\n')
    (root / "etc/rdv/keys/rpi1100").write_text(KEY)
    (root / "etc/rdv/keys/.rpi1300.shut").write_text("")
    (root / "etc/rdv/keys/.rpi1200.new").write_text("half of a key")
    (root / "etc/rdv/devices.d/rpi1100.toml").write_text('role = "onsite"\n')
    (root / "etc/rdv/tls/ca.pem").write_text("CA")
    with closing(sqlite3.connect(root / EVENTS)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE event (what TEXT)")
        database.execute("INSERT INTO event VALUES ('enrolled')")
        database.commit()
    return root


def saved(root: Path) -> bytes:
    file = io.BytesIO()
    backup.write(file, root)
    return file.getvalue()


def put(archive: bytes, root: Path) -> None:
    with restore.staged(io.BytesIO(archive), root) as staged:
        staged.put()


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_what_is_restored_is_what_was_saved(server: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    archive = saved(server)
    put(archive, new)
    kept = files(new)
    assert kept.pop(EVENTS)
    expected = files(server)
    for name in (EVENTS, "etc/rdv/keys/.rpi1200.new"):
        del expected[name]
    assert kept == expected
    assert (new / "etc/rdv/ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    put(archive, new)
    assert files(new).keys() == kept.keys() | {EVENTS}


def test_a_database_is_whole_while_somebody_writes_to_it(server: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(server / EVENTS)) as writer:
        writer.execute("INSERT INTO event VALUES ('online')")
        writer.commit()
        writer.execute("INSERT INTO event VALUES ('not committed')")
        put(saved(server), tmp_path / "new")
    with closing(sqlite3.connect(tmp_path / "new" / EVENTS)) as database:
        assert database.execute("SELECT what FROM event").fetchall() == [("enrolled",), ("online",)]


def test_what_the_backup_does_not_have_goes_and_what_the_package_brings_stays(
    server: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    (server / "etc/rdv/tls/ca.pem").unlink()
    (server / "etc/rdv/tls").rmdir()
    put(saved(server), new)
    (new / "etc/rdv/tls").mkdir()
    for name in ("tls/ca.pem", "sshd_config", "acl.toml", "keys/rpi1900", "devices.d/rpi1900.toml"):
        (new / "etc/rdv" / name).write_text("role = 1")
    (new / f"{EVENTS}-wal").write_text("of another database")
    with restore.staged(io.BytesIO(saved(server)), new) as staged:
        assert staged.differs() == [
            *("etc/rdv/acl.toml", "etc/rdv/devices.d/rpi1900.toml", "etc/rdv/keys/rpi1900"),
            *("etc/rdv/sshd_config", "etc/rdv/tls/ca.pem"),
        ]
        staged.put()
    left = files(new)
    assert {"etc/rdv/sshd_config", "etc/rdv/tls/ca.pem"} < left.keys()
    assert not {"etc/rdv/acl.toml", "etc/rdv/keys/rpi1900", f"{EVENTS}-wal"} & left.keys()


def test_a_link_is_saved_as_what_it_leads_to(server: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.pem").write_text("certificate")
    (server / "etc/rdv/tls/cert.pem").symlink_to(tmp_path / "elsewhere.pem")
    put(saved(server), tmp_path / "new")
    assert (tmp_path / "new/etc/rdv/tls/cert.pem").read_text() == "certificate"
    (tmp_path / "elsewhere.pem").unlink()
    with pytest.raises(RdvError, match="leads to a file that is not there"):
        saved(server)


def test_a_file_that_cannot_be_written_leaves_nothing(server: Path, tmp_path: Path) -> None:
    file = tmp_path / "rdv.backup"
    backup.save(file, server)
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    (server / "etc/rdv/tls/broken").symlink_to("nowhere")
    with pytest.raises(RdvError):
        backup.save(file, server)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == ["rdv.backup"]


Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def changed(archive: bytes, change: Change) -> bytes:
    """The archive with its members changed by somebody."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = [(m, tar.extractfile(m).read() if m.isreg() else b"") for m in tar]  # type: ignore[union-attr]
    change(members)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def manifest(**values: object) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[0] = (members[0][0], json.dumps(json.loads(members[0][1]) | values).encode())

    return change


def added(name: str, kind: bytes = tarfile.REGTYPE) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/shadow"
        member.uname, member.gname = members[1][0].uname, members[1][0].gname
        text = json.loads(members[0][1])
        text["files"][name] = backup.digest(b"")
        members[0] = (members[0][0], json.dumps(text).encode())
        members.append((member, b""))

    return change


def replaced(name: str, content: bytes, *, told: bool = True) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[:] = [(m, content if m.name == name else old) for m, old in members]
        text = json.loads(members[0][1])
        if told:
            text["files"][name] = backup.digest(content)
        members[0] = (members[0][0], json.dumps(text).encode())

    return change


def owned(name: str) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[-1][0].uname = name

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (added("/etc/passwd"), "has a member"),
        (added("etc/rdv/../passwd"), "has a member"),
        (added("etc/rdv/.restoring"), "has a member"),
        (added("etc/rdv/keys/.restore/x"), "has a member"),
        (added("etc/rdv//keys"), "has a member"),
        (added("etc/rdvx"), "has a member"),
        (added("etc/rdv/key\n"), "has a member"),
        (added("etc/rdv/link", tarfile.SYMTYPE), "neither file nor folder"),
        (added("etc/rdv/link", tarfile.LNKTYPE), "neither file nor folder"),
        (added("etc/rdv/node", tarfile.CHRTYPE), "neither file nor folder"),
        (added("etc/rdv/pipe", tarfile.FIFOTYPE), "neither file nor folder"),
        (owned("nobody-of-that-name"), "unknown here"),
        (manifest(format=backup.FORMAT + 1), "format"),
        (manifest(format="1"), "format"),
        (manifest(version="99.0"), "upgrade this server first"),
        (manifest(version="-x; reboot"), "upgrade this server first"),
        (manifest(files=[]), "damaged"),
        (manifest(files={"etc/rdv/acl.toml": "0"}), "not in the backup's manifest"),
        (lambda members: members.pop(), "lacks"),
        (lambda members: members.reverse(), "no backup of an RDV"),
        (lambda members: members.clear(), "no backup of an RDV"),
        (replaced("etc/rdv/tls/ca.pem", b"CB", told=False), "is damaged"),
        (replaced("etc/rdv/keys/rpi1100", b"ssh-ed25519 AAAA anybody\n"), "no device's key"),
        (replaced("etc/rdv/keys/rpi1100", KEY.encode() + b"ssh-ed25519 AAAA anybody\n"), "no device's key"),
    ],
)
def test_what_is_no_backup_of_ours_changes_nothing(
    server: Path, tmp_path: Path, change: Change, told: str
) -> None:
    archive = changed(saved(server), change)
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=told):
        put(archive, server)
    assert files(tmp_path) == before


@pytest.mark.parametrize("length", [0, 1, 20, -300])
def test_a_file_that_was_cut_short_changes_nothing(server: Path, tmp_path: Path, length: int) -> None:
    archive = saved(server)
    before = files(tmp_path)
    with pytest.raises(ConfigError):
        put(archive[:length], server)
    assert files(tmp_path) == before


def test_a_device_whose_file_has_a_fault_is_no_reason_to_have_no_server(server: Path, tmp_path: Path) -> None:
    (server / "etc/rdv/devices.d/rpi1200.toml").write_text("rol = 1\n")
    with restore.staged(io.BytesIO(saved(server)), tmp_path / "new") as staged:
        assert [device.account for device in staged.devices] == ["rpi1100"]
        assert len(staged.faults) == 1 and "rpi1200.toml:1: rol" in staged.faults[0]
        staged.put()
    assert (tmp_path / "new/etc/rdv/devices.d/rpi1200.toml").read_text() == "rol = 1\n"


def test_two_restores_at_once_do_not_meet(server: Path) -> None:
    archive = saved(server)
    with restore.staged(io.BytesIO(archive), server), pytest.raises(Busy):
        put(archive, server)


def test_an_interrupted_restore_is_known_until_it_was_finished(server: Path) -> None:
    assert restore_mark.marked(server) is None
    restore_mark.mark(["rdv-sshd.service", "vtun-manager.service"], server)
    put(saved(server), server)
    assert restore_mark.marked(server) == ["rdv-sshd.service", "vtun-manager.service"]
    restore_mark.unmark(server)
    assert restore_mark.marked(server) is None
