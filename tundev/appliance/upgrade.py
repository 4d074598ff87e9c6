"""An upgrade of our packages that ends well or not at all, whatever is cut short.

    INSTALLING -> PROVING -> SETTLING -> KEEPING -> done
         |           |           |
         +-----------+-----------+--> RETURNING --> done, with the former ones

`next_stage` decides, `carry_on` acts. The stage is on the data partition before
what it stands for begins, so the next boot goes on where this one was cut off. An agent
that is not online within PROOF_SECONDS, or not within BOOTS boots, was better before.

What runs at a boot only has not run yet when the agent is online after an installation. So
the former files are kept until a boot with the new version has been online too (SETTLING).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path

from tundev.appliance import packages
from tundev.appliance.proof import PATIENCE_SECONDS, PROOF_SECONDS, online
from vtunlib import files, units
from vtunlib.boot import boot_id
from vtunlib.errors import RdvError
from vtunlib.service import Readiness

SERVICE = "tundev-upgrade.service"
RESCUE = "tundev-upgrade-rescue.service"
STATE = packages.WHERE / "state.json"
BOOTS = 3
START_SECONDS = 2 * packages.INSTALL_SECONDS + 180
"""Until the service is ready, or has put the former packages back: its TimeoutStartSec=."""

log = logging.getLogger(__name__)


class Stage(StrEnum):
    """What is under way."""

    INSTALLING = "installing"
    PROVING = "proving"
    SETTLING = "settling"
    """It was online; now a boot with it has to be, and nothing happens before that."""
    KEEPING = "keeping"
    """It is good: its files take the place of the former ones."""
    RETURNING = "returning"


LAST = (Stage.KEEPING, Stage.RETURNING)
"""From these there is nothing else to go to: what fails is tried again at the next boot."""


@dataclass(frozen=True)
class Upgrade:
    """version: the new one, its files in `folder`; why: it goes back.

    boot: the one that has seen this stage last; boots: how many have found it in this stage.
    """

    version: str
    stage: Stage = Stage.INSTALLING
    boots: int = 0
    why: str = ""
    folder: str = "new"
    boot: str = ""

    @property
    def new(self) -> Path:
        """Where its files are."""
        return packages.WHERE / self.folder

    @property
    def waits(self) -> bool:
        """Whether nothing is to be done before the next boot."""
        return self.stage is Stage.SETTLING and self.boots == 0


def next_stage(upgrade: Upgrade, fault: str | None) -> Upgrade | None:
    """What follows when the stage has ended, with a fault or without; None when it is over."""
    match upgrade.stage, fault:
        case stage, str() if stage in LAST:
            return upgrade
        case _, str():
            return replace(upgrade, stage=Stage.RETURNING, boots=0, why=fault)
        case Stage.INSTALLING, None:
            return replace(upgrade, stage=Stage.PROVING, boots=0)
        case Stage.PROVING, None if upgrade.boots == 0:
            return replace(upgrade, stage=Stage.SETTLING)
        case ((Stage.PROVING | Stage.SETTLING), None):
            return replace(upgrade, stage=Stage.KEEPING, boots=0)
    return None


def found_by_boot(upgrade: Upgrade, boot: str) -> tuple[Upgrade, str | None]:
    """The same as boot `boot` finds it, and the fault that ends the stage: too many boots have."""
    if boot == upgrade.boot:
        return upgrade, None  # the service was started, not the device
    seen = replace(upgrade, boots=upgrade.boots + 1, boot=boot)
    if seen.boots > BOOTS and seen.stage not in LAST:
        return seen, f"the device was started {BOOTS} times, and did not come online"
    return seen, None


def outcome(upgrade: Upgrade, fault: str | None) -> str:
    """What has come of it, in words."""
    version, why = upgrade.version, f"The reason: {upgrade.why}."
    if upgrade.stage is Stage.RETURNING and fault is None:
        return f"The upgrade to {version} failed, and this device went back. {why}"
    if upgrade.stage is Stage.RETURNING:
        again = f"{fault}; tried again at the next boot"
        return f"The upgrade to {version} failed, and this device could not go back: {again}. {why}"
    if upgrade.stage is Stage.SETTLING:
        then = "this device has started with it, and was online"
        return f"Upgraded to {version}; the former version is kept until {then}."
    return f"Upgraded to {version}."


def load(file: Path) -> Upgrade | None:
    """The one that is under way; None for none, and for what cannot be read.

    What another version noted besides is left out: a way back may be cut short between the two.
    """
    known = {field.name for field in fields(Upgrade)}
    try:
        values = {key: value for key, value in json.loads(file.read_bytes()).items() if key in known}
        values["stage"] = Stage(values["stage"])
        return Upgrade(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(upgrade: Upgrade, file: Path) -> None:
    """Keep it for the next boot. Raises OSError."""
    files.replace(file, json.dumps(asdict(upgrade)).encode(), mode=0o600)


def is_at_work(upgrade: Upgrade) -> bool:
    """Whether it has to be left to its end. Raises RdvError.

    One that has yet to settle may be replaced by another, and so may one that cannot go back.
    """
    running = units.units_named(SERVICE, RESCUE, states=units.RUNNING)
    return RESCUE in running or (SERVICE in running and upgrade.stage is not Stage.SETTLING)


def take(offered: Iterable[Path], version: str) -> None:
    """Keep the files of a new version, and note that it is to be installed. Raises RdvError, OSError.

    One that is not kept yet is left; the way back stays the one that it had.
    """
    units.stop(SERVICE)
    former = load(STATE)
    if former is not None and former.stage is Stage.KEEPING:
        packages.put(former.new, packages.INSTALLED)
    if not packages.INSTALLED.is_dir():
        packages.put(packages.store(packages.kept(packages.OF_IMAGE)), packages.INSTALLED)
    new = packages.store(offered, spare=former.new if former else None)
    save(Upgrade(version, folder=new.name, boot=boot_id()), STATE)


async def carry_on(
    upgrade: Upgrade,
    fault: str | None,
    installed: Callable[[], None],
    *,
    proof: float = PROOF_SECONDS,
) -> tuple[Upgrade, str | None]:
    """Go on until it is over or waits for a boot; its last stage, and what was wrong with that.

    installed: called when the new version is. proof: seconds that the agent may take to come online.
    """
    while not upgrade.waits:
        if fault is None:
            fault = _noted(upgrade) or await _ended(upgrade, proof)
            if upgrade.stage is Stage.INSTALLING and fault is None:
                installed()
        following = next_stage(upgrade, fault)
        if following is upgrade:
            log.warning("it is tried again at the next boot: %s", fault)
        if following is None or following is upgrade:
            break
        log.info("%s -> %s: %s", upgrade.stage, following.stage, fault or "done")
        upgrade, fault = following, None
    told = outcome(upgrade, fault)
    log.info("%s", told)
    try:
        files.replace(packages.OUTCOME, f"{told}\n".encode(), mode=0o644)
    except OSError as error:
        log.warning("cannot write %s: %s", packages.OUTCOME, error)
    if upgrade.waits:
        _noted(upgrade)
    elif fault is None:
        fault = _forgotten(upgrade)
    return upgrade, fault


def _noted(upgrade: Upgrade) -> str | None:
    """Note it for the next boot; the fault where it must not go on without."""
    try:
        save(upgrade, STATE)
    except OSError as error:
        log.warning("cannot write %s: %s", STATE, error)
        # Else the next boot does the stage of before again, and no harm is done. But with the new files
        # in the former ones' place, it could go back to where it is.
        return str(error) if upgrade.stage is Stage.KEEPING else None
    return None


def _forgotten(upgrade: Upgrade) -> str | None:
    """It is over; the fault that the next boot will find it all the same."""
    try:
        STATE.unlink(missing_ok=True)
        files.sync_directory(STATE.parent)
    except OSError as error:
        log.warning("cannot delete %s: %s", STATE, error)
        return str(error)
    shutil.rmtree(upgrade.new, ignore_errors=True)
    return None


async def _ended(upgrade: Upgrade, proof: float) -> str | None:
    """Do what the stage stands for; the fault that ended it, None where it went well."""
    try:
        match upgrade.stage:
            case Stage.INSTALLING:
                await asyncio.to_thread(packages.install, upgrade.new)
            case Stage.PROVING:
                return await online(proof)
            case Stage.SETTLING:
                return await online(proof, PATIENCE_SECONDS)
            case Stage.KEEPING:
                packages.put(upgrade.new, packages.INSTALLED)
            case Stage.RETURNING:
                await asyncio.to_thread(packages.install, packages.INSTALLED)
    except (OSError, RdvError) as error:
        return str(error)
    return None


async def _serve(proof: float) -> int:
    noted = load(STATE)
    if noted is None:
        STATE.unlink(missing_ok=True)
        return 0
    readiness = Readiness()
    upgrade, fault = found_by_boot(noted, boot_id())
    if upgrade.stage is not Stage.INSTALLING:
        readiness.ready(upgrade.stage)
    last, fault = await carry_on(upgrade, fault, lambda: readiness.ready(Stage.PROVING), proof=proof)
    if last.stage is not Stage.RETURNING:
        return 0
    if fault is None and upgrade is not noted:
        # What runs at a boot did so with the bad version. A session has ended with its agent, by dpkg.
        log.info("starting anew, with the former version")
        units.reboot()
    return 1


def main() -> int:
    """Entry of /usr/lib/tundev/upgrade."""
    parser = argparse.ArgumentParser(prog="upgrade", description="Go on with the upgrade that is under way.")
    parser.add_argument("--online-within", type=float, default=PROOF_SECONDS, metavar="SECONDS")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return asyncio.run(_serve(arguments.online_within))
    except (OSError, RdvError) as error:
        log.error("%s", error)
        return 1
