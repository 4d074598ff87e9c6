"""The command `tundev-upgrade`: a new version of our packages on an appliance."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tundev import client, config
from tundev.appliance import packages, repository, upgrade
from tundev.appliance.packages import Package
from tundev.appliance.proof import PROOF_SECONDS, in_words
from tundev.appliance.upgrade import SERVICE, START_SECONDS, Stage
from vtunlib import units
from vtunlib.errors import Busy, ConfigError, NotAllowed, NotFound, RdvError, Timeout

_ANSWER_SECONDS = START_SECONDS + 60
"""systemd gives its service up first, and says so."""
_EXAMPLES = """\
  tundev-upgrade --check            whether the repository of [updates] has a newer version
  tundev-upgrade --from-repository  install that
  tundev-upgrade *.deb              install these: all packages of a version, and no other
  tundev-upgrade --status           what came of the last one, or is under way
"""


def _check_place() -> None:
    """Raises RdvError where nothing can be installed now."""
    if os.geteuid():
        raise NotAllowed("only root may upgrade this device", "run it as root")
    if not packages.WHERE.is_dir():
        raise NotFound(f"there is no {packages.WHERE}: this device is no appliance", "use apt")
    under_way = upgrade.load(upgrade.STATE)
    if under_way is not None and upgrade.is_at_work(under_way):
        raise Busy(f"an upgrade to {under_way.version} is under way", "'tundev-upgrade --status' shows it")


def _take(offered: Sequence[Package], version: str) -> None:
    upgrade.take([package.file for package in offered if package.file], version)


def _files(names: Sequence[str]) -> str:
    """Take the files; their version. Raises RdvError, OSError."""
    _check_place()
    offered = [packages.read(Path(name)) for name in names]
    version = packages.check(offered, packages.installed())
    _take(offered, version)
    return version


@contextmanager
def _newest() -> Iterator[tuple[list[Package], str, str]]:
    """The repository's packages, their version, and the one that is here. Raises RdvError."""
    _check_place()
    loaded = config.load()
    if loaded.updates is None:
        raise ConfigError("tundev.toml names no repository", "expected [updates] with url and key")
    present = packages.installed()
    names = [package.name for package in present]
    with repository.downloaded(loaded.updates, names, loaded.rdv.proxy) as files:
        offered = [packages.read(file) for file in files]
        yield offered, packages.check(offered, present), present[0].version


def _look(*, as_json: bool) -> None:
    """Tell whether there is a newer one; nothing is changed."""
    with _newest() as (_, version, present):
        newer = packages.newer(version, present)
    if as_json:
        print(json.dumps({"installed": present, "offered": version, "newer": newer}))
    elif newer:
        print(
            f"{version} is there; this device has {present}. 'tundev-upgrade --from-repository' installs it."
        )
    else:
        print(f"This device has {present}, and the repository none that is newer: {version}.")


def _take_newest() -> str | None:
    """Take the repository's version; None where it is the one that is here. Raises RdvError, OSError."""
    with _newest() as (offered, version, present):
        if version == present:
            print(f"This device has {present}, the newest of its repository.")
            return None
        if not packages.newer(version, present):
            told = f"the repository has {version}, which is older than this device's {present}"
            raise RdvError(told, "nothing was changed; an older one is installed from its files")
        _take(offered, version)
        return version


def _status(*, as_json: bool) -> str:
    under_way = upgrade.load(upgrade.STATE)
    try:
        told = packages.OUTCOME.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        told = ""
    except OSError as error:
        raise NotAllowed(f"cannot read {packages.OUTCOME}: {error.strerror}", "run it as root") from None
    if as_json:
        stage = {"version": under_way.version, "stage": under_way.stage} if under_way else None
        return json.dumps({"under_way": stage, "last": told or None})
    # Of one that settles, or that could not go back, more is told than that it is not over.
    begun = under_way is not None and under_way.stage in (Stage.INSTALLING, Stage.PROVING)
    if under_way is not None and (begun or upgrade.is_at_work(under_way)):
        return f"The upgrade to {under_way.version} is under way: {under_way.stage}."
    return told or "There was no upgrade."


async def _work(arguments: argparse.Namespace) -> int:
    if arguments.status:
        print(_status(as_json=arguments.json))
        return 0
    try:
        if arguments.check:
            await asyncio.to_thread(_look, as_json=arguments.json)
            return 0
        if arguments.from_repository:
            version = await asyncio.to_thread(_take_newest)
        else:
            version = await asyncio.to_thread(_files, arguments.file)
    except OSError as error:
        raise RdvError(
            f"cannot keep the packages: {error.strerror}", "is the data partition full, or /run?"
        ) from None
    if version is not None:
        await _install(version)
    return 0


async def _install(version: str) -> None:
    """Have what is kept installed. Raises RdvError where it went back at once."""
    print(f"Installing {version} ...", flush=True)
    try:
        await asyncio.to_thread(units.start, SERVICE, deadline=_ANSWER_SECONDS)
    except Timeout:
        raise
    except RdvError:
        raise RdvError(_status(as_json=False), f"'journalctl -u {SERVICE}' has more") from None
    limit = in_words(PROOF_SECONDS)
    print(f"Installed. Unless it is online within {limit} this device goes back by itself.")


def _parser() -> argparse.ArgumentParser:
    about = "Install a new version on a device that is an appliance."
    parser = client.parser("tundev-upgrade", about, _EXAMPLES)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--check", action="store_true", help="only look what the repository has")
    ways.add_argument("--from-repository", action="store_true", help="the newest version that it has")
    ways.add_argument("--status", action="store_true", help="what came of the last one, or is under way")
    parser.add_argument("--json", action="store_true", help="with --check or --status: for programs")
    parser.add_argument("file", nargs="*", metavar="FILE", help="the packages' files")
    return parser


def main() -> int:
    """Entry of /usr/bin/tundev-upgrade."""
    parser = _parser()
    arguments = parser.parse_args()
    looking = arguments.check or arguments.status
    if bool(arguments.file) == (looking or arguments.from_repository):
        parser.error("expected the packages' files, --from-repository, --check or --status")
    if arguments.json and not looking:
        parser.error("--json goes with --check or --status")
    return client.command("tundev-upgrade", lambda: _work(arguments))


if __name__ == "__main__":
    sys.exit(main())
