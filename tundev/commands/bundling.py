"""`masterdev bundle` and `onsitedev bundle`: one archive for support, without secrets."""

from __future__ import annotations

import argparse
import datetime
import os
import re
from pathlib import Path
from typing import Any

from tundev.client import AgentClient
from vtunlib import files
from vtunlib.errors import AlreadyExists, NotAllowed, RdvError, printable

_MODE = 0o600
_NO_ACCOUNT = "unknown"


def add_parser(commands: Any) -> None:
    """The word `bundle`."""
    parser = commands.add_parser("bundle", help="write one archive for support, without secrets")
    parser.add_argument("-o", dest="file", metavar="FILE", type=Path, help="its name, ending in .tar.gz")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.set_defaults(work=write)


async def write(agent: AgentClient, arguments: argparse.Namespace) -> int:
    """Write it and say where, and what is in it. Raises NotAllowed, AlreadyExists, RdvError."""
    from tundev.diagnosis import bundle

    if os.geteuid() != 0:
        raise NotAllowed("only root may do this", "use sudo")
    now = datetime.datetime.now(datetime.UTC)
    name = f"tundev-{_account()}-{now:%Y%m%dT%H%M%SZ}"
    file: Path = arguments.file or Path(f"{name}.tar.gz")
    _check(file, force=arguments.force)
    print("walking the way to the far end, reading the journal: this may take a minute", flush=True)
    members = await bundle.parts(agent)
    data = bundle.archive(name, members, now)
    _check(file, force=arguments.force)  # for that took a while
    try:
        files.replace(file, data, mode=_MODE)
    except OSError as error:
        raise RdvError(f"cannot write {file}: {error.strerror}") from None
    print(f"written: {printable(str(file))} ({len(data) // 1024 + 1} KiB)")
    for part in members:
        print(f"  {part.name:<15} {part.about}")
    print("Keys, passwords and PINs are left out; the customer's addresses and names are in it.")
    return 0


def _check(file: Path, *, force: bool) -> None:
    if not force and os.path.lexists(file):
        raise AlreadyExists(f"there is {file} already", "another name, or --force")


def _account() -> str:
    """The account, for the archive's name, also where the configuration has a fault."""
    from tundev import config
    from vtunlib.errors import ConfigError

    try:
        return config.load().rdv.account
    except ConfigError:
        return re.sub(r"[^a-z0-9-]", "", os.uname().nodename.lower()) or _NO_ACCOUNT
