"""`rdv-admin backup` and `restore`: this RDV as one file, and another host made into it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rdv import accounts
from rdv.admin.link import note, record
from rdv.audit.events import Event, Kind
from rdv.backup import archive as backup
from rdv.backup import restore, restore_mark
from rdv.backup.restore import Staged
from vtunlib import units
from vtunlib.errors import AlreadyExists, RdvError, UsageError

UNITS = ("rdv-stunnel.service", "rdv-sshd.service", "tundev-shell.service", "vtun-manager.service")
"""What reads the restored files, in the order in which it stops: no device gets in meanwhile."""
_START_SECONDS = 60.0
_SHOWN = 5


def add_parser(subjects: Any) -> None:
    """The words of `rdv-admin backup` and `rdv-admin restore`."""
    saving = subjects.add_parser("backup", help="write all that makes this RDV this RDV into one file")
    saving.add_argument("file", metavar="FILE", help="only root can read it; - is standard output")
    saving.set_defaults(work=save)
    restoring = subjects.add_parser("restore", help="make this host the RDV of a backup")
    restoring.add_argument("file", metavar="FILE", help="what 'rdv-admin backup' wrote; - is standard input")
    restoring.add_argument("--force", action="store_true", help="also where this RDV has devices of its own")
    restoring.set_defaults(work=put_back)


async def save(arguments: argparse.Namespace) -> None:
    """Write the backup; devices and sessions notice nothing."""
    if arguments.file == "-":
        if sys.stdout.isatty():
            raise UsageError("a backup is no text for a terminal", "send it to a file or a program")
        manifest = await asyncio.to_thread(backup.write, sys.stdout.buffer)
    else:
        manifest = await asyncio.to_thread(backup.save, Path(arguments.file))
    devices = sum(name.startswith("etc/rdv/devices.d/") for name in manifest.files)
    told = f"{devices} devices, {len(manifest.files)} files"
    if arguments.file == "-":
        note(f"backed up: {told}")
    else:
        print(f"backed up in {arguments.file}: {told}")
    note("it holds this server's private keys: keep it as you keep those")
    await asyncio.to_thread(record, Event(Kind.BACKED_UP, more={"devices": devices}))


async def put_back(arguments: argparse.Namespace) -> None:
    """Check the backup, then put it in place of what is here; the same again changes nothing."""
    with _opened(arguments.file) as archive:
        await asyncio.to_thread(_restore, archive, arguments.force)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115  # closed below
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from None
    with file:
        yield file


def _restore(archive: BinaryIO, force: bool) -> None:
    with restore.staged(archive) as staged:
        manifest = staged.manifest
        interrupted, present = restore_mark.marked(), accounts.everyone()
        differs = staged.differs()
        if present and not force and interrupted is None:
            if not differs and set(present) == {device.account for device in staged.devices}:
                print(f"this is the RDV of that backup already: {len(present)} devices")
                return
            _refuse(present, differs)
        for device in staged.devices:
            accounts.role(device.account)  # raises where somebody here has that name
        stopped = [unit for unit in UNITS if units.is_active(unit)]
        stopped += [unit for unit in interrupted or [] if unit in UNITS and unit not in stopped]
        restore_mark.mark(stopped)
        try:
            for unit in stopped:
                units.stop(unit)
            _accounts_before(staged)
            staged.put()
            for device in staged.devices:
                accounts.create(device.account, device.role)
        except BaseException as error:
            note("THE RESTORE IS NOT COMPLETE and this RDV does not serve; do it again")
            if isinstance(error, OSError):
                raise RdvError(f"{error.filename}: {error.strerror}") from None
            raise
        failed = _started(reversed(stopped))
        restore_mark.unmark()
        told = {"host": manifest.host, "made": manifest.made, "version": manifest.version}
        record(Event(Kind.RESTORED, more=told | {"devices": len(staged.devices)}))
        print(f"restored: {manifest.host} as of {manifest.made}, version {manifest.version}")
        print(f"{len(staged.devices)} devices; they dial in by themselves as soon as they reach this host")
        for fault in staged.faults:
            note(f"{fault}; mend it and 'rdv-admin device add' that device again, with the same words")
        if failed:
            raise RdvError(f"restored, but not everything runs: {'; '.join(failed)}")


def _started(stopped: Iterable[str]) -> list[str]:
    """Start them; why one did not is no reason not to start the next."""
    failed = []
    for unit in stopped:
        try:
            units.start(unit, deadline=_START_SECONDS)
        except RdvError as error:
            failed.append(str(error))
    return failed


def _refuse(present: list[str], differs: list[str]) -> None:
    shown = ", ".join(f"/{name}" for name in differs[:_SHOWN])
    more = f" and {len(differs) - _SHOWN} more" if len(differs) > _SHOWN else ""
    raise AlreadyExists(
        f"this RDV has devices ({len(present)}), and would lose {shown or 'their accounts'}{more}",
        "'rdv-admin backup' keeps what is here; --force replaces it",
    )


def _accounts_before(staged: Staged) -> None:
    """End every device's connection; delete the accounts that the backup does not have, or has otherwise."""
    wanted = {device.account: device.role for device in staged.devices}
    for account in accounts.everyone():
        if accounts.role(account) is wanted.get(account):
            accounts.end_processes(account)
        else:
            accounts.remove(account)
            print(f"{account}: removed, for it is not in the backup")
