"""The command `tundev-upgrade`: a new version of our packages on an appliance."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from tundev import client
from tundev.appliance import packages, upgrade
from tundev.appliance.upgrade import PROOF_SECONDS, Upgrade
from vtunlib import units
from vtunlib.errors import Busy, NotAllowed, NotFound, RdvError, Timeout

SERVICE = "tundev-upgrade.service"
_EXAMPLES = """\
  tundev-upgrade *.deb         all packages of the new version, and no other
  tundev-upgrade --status      what came of the last one, or is under way
"""


def _begin(names: list[str]) -> str:
    """Check and keep what is offered; the version. Raises RdvError, OSError."""
    if os.geteuid():
        raise NotAllowed("only root may upgrade this device", "run it as root")
    if not packages.WHERE.is_dir():
        raise NotFound(f"there is no {packages.WHERE}: this device is no appliance", "use apt")
    under_way = upgrade.load()
    if under_way is not None:
        raise Busy(f"an upgrade to {under_way.version} is under way", "'tundev-upgrade --status' shows it")
    offered = [packages.read(Path(name)) for name in names]
    version = packages.check(offered, packages.installed())
    if not upgrade.INSTALLED.is_dir():
        packages.keep(packages.kept(packages.OF_IMAGE), upgrade.INSTALLED)
    packages.keep([package.file for package in offered if package.file], upgrade.NEW)
    upgrade.save(Upgrade(version))
    return version


def _status() -> str:
    under_way = upgrade.load()
    if under_way is not None:
        return f"The upgrade to {under_way.version} is under way: {under_way.stage}."
    try:
        return packages.OUTCOME.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return "There was no upgrade."
    except OSError as error:
        raise NotAllowed(f"cannot read {packages.OUTCOME}: {error.strerror}", "run it as root") from None


async def _work(arguments: argparse.Namespace) -> int:
    if arguments.status:
        print(_status())
        return 0
    try:
        version = await asyncio.to_thread(_begin, arguments.file)
    except OSError as error:
        raise RdvError(f"cannot keep the packages: {error.strerror}", "is the data partition full?") from None
    print(f"Installing {version} ...", flush=True)
    try:
        await asyncio.to_thread(units.start, SERVICE, deadline=2 * packages.ROOT_SECONDS)
    except Timeout:
        raise
    except RdvError:
        raise RdvError(_status(), f"'journalctl -u {SERVICE}' has more") from None
    minutes = PROOF_SECONDS / 60
    print(f"Installed. Unless it is online within {minutes:.0f} minutes this device goes back by itself.")
    return 0


def _parser() -> argparse.ArgumentParser:
    about = "Install a new version on a device that is an appliance."
    parser = client.parser("tundev-upgrade", about, _EXAMPLES)
    parser.add_argument("--status", action="store_true", help="what came of the last one, or is under way")
    parser.add_argument("file", nargs="*", metavar="FILE", help="the packages' files")
    return parser


def main() -> int:
    """Entry of /usr/sbin/tundev-upgrade."""
    parser = _parser()
    arguments = parser.parse_args()
    if not arguments.status and not arguments.file:
        parser.error("expected the packages' files, or --status")
    return client.command("tundev-upgrade", lambda: _work(arguments))


if __name__ == "__main__":
    sys.exit(main())
