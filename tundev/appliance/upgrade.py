"""An upgrade of our packages that ends well or not at all, whatever is cut short.

    INSTALLING -> PROVING -> done
         |           |
         +--> RETURNING --> done, with the former ones

`next_stage` decides, `carry_on` acts. The stage is on the data partition before
what it stands for begins, so the next boot goes on where this one was cut off. An agent
that is not online within PROOF_SECONDS of a boot, or not within BOOTS boots, was better before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from tundev.agent_here import follow_agent
from tundev.appliance import packages
from tundev.contract import Key
from tundev.states import ONLINE
from tundev.told import Values
from vtunlib import bus as buses
from vtunlib import files
from vtunlib.errors import RdvError
from vtunlib.service import Readiness

STATE = packages.WHERE / "state.json"
NEW = packages.WHERE / "new"
INSTALLED = packages.WHERE / "installed"
PROOF_SECONDS = 600.0
"""How long the agent may take to come online with the new version, where nothing else is said."""
BOOTS = 3

log = logging.getLogger(__name__)


class Stage(StrEnum):
    """What is under way."""

    INSTALLING = "installing"
    PROVING = "proving"
    RETURNING = "returning"


@dataclass(frozen=True)
class Upgrade:
    """version: the new one; boots: how often a boot has found it in this stage; why: it goes back."""

    version: str
    stage: Stage = Stage.INSTALLING
    boots: int = 0
    why: str = ""


def next_stage(upgrade: Upgrade, fault: str | None) -> Upgrade | None:
    """What follows when the stage has ended, with a fault or without; None when it is over."""
    match upgrade.stage, fault:
        case Stage.INSTALLING, None:
            return replace(upgrade, stage=Stage.PROVING, boots=0)
        case ((Stage.INSTALLING | Stage.PROVING), str()):
            return replace(upgrade, stage=Stage.RETURNING, boots=0, why=fault)
        case Stage.RETURNING, str():
            return upgrade  # there is nothing else to go to: tried again at the next boot
    return None


def found_by_boot(upgrade: Upgrade) -> tuple[Upgrade, str | None]:
    """The same after a boot, and the fault that ends the stage: too many boots have found it."""
    seen = replace(upgrade, boots=upgrade.boots + 1)
    if seen.boots > BOOTS and seen.stage is not Stage.RETURNING:
        return seen, f"the device was started {BOOTS} times meanwhile"
    return seen, None


def outcome(upgrade: Upgrade, fault: str | None) -> str:
    """What has come of it, in words."""
    if upgrade.stage is not Stage.RETURNING:
        return f"Upgraded to {upgrade.version}."
    went = f"could not go back: {fault}; tried again at the next boot" if fault else "went back"
    return f"The upgrade to {upgrade.version} failed, and this device {went}. The reason: {upgrade.why}."


def load(file: Path = STATE) -> Upgrade | None:
    """The one that is under way; None for none, and for what cannot be read."""
    try:
        values = json.loads(file.read_bytes())
        values["stage"] = Stage(values["stage"])
        return Upgrade(**values)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def save(upgrade: Upgrade, file: Path = STATE) -> None:
    """Keep it for the next boot. Raises OSError."""
    files.replace(file, json.dumps(asdict(upgrade)).encode(), mode=0o600)


async def carry_on(
    upgrade: Upgrade, fault: str | None, installed: Callable[[], None], *, proof: float = PROOF_SECONDS
) -> bool:
    """Go on until it is over; whether the new version is there to stay. installed: called when it is.

    proof: seconds that the agent may take to come online. Raises OSError.
    """
    while True:
        if fault is None:
            save(upgrade)
            fault = await _ended(upgrade, proof)
            if upgrade.stage is Stage.INSTALLING and fault is None:
                installed()
        following = next_stage(upgrade, fault)
        if following is None or following is upgrade:
            break
        log.info("%s -> %s: %s", upgrade.stage, following.stage, fault or "done")
        upgrade, fault = following, None
    told = outcome(upgrade, fault)
    log.info("%s", told)
    files.replace(packages.OUTCOME, f"{told}\n".encode(), mode=0o644)
    if upgrade.stage is Stage.PROVING:
        packages.keep(packages.kept(NEW), INSTALLED)
    if following is None:
        STATE.unlink(missing_ok=True)
    return upgrade.stage is Stage.PROVING


async def _ended(upgrade: Upgrade, proof: float) -> str | None:
    """Do what the stage stands for; the fault that ended it, None where it went well."""
    try:
        if upgrade.stage is Stage.PROVING:
            await _online(proof)
        else:
            folder = NEW if upgrade.stage is Stage.INSTALLING else INSTALLED
            await asyncio.to_thread(packages.install, folder)
    except TimeoutError:
        return f"the agent was not online within {_long(proof)}"
    except RdvError as error:
        return str(error)
    return None


def _long(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


async def _online(deadline: float) -> None:
    """Wait until the agent is. Raises TimeoutError after `deadline` seconds, RdvError."""
    reached = asyncio.Event()

    def changed(status: Values | None) -> None:
        if status is not None and status.get(Key.STATE) in ONLINE:
            reached.set()

    bus = await buses.connect()
    try:
        async with asyncio.timeout(deadline):
            await follow_agent(bus, changed)
            await reached.wait()
    finally:
        bus.disconnect()


async def _serve(proof: float) -> int:
    upgrade = load()
    if upgrade is None:
        STATE.unlink(missing_ok=True)
        return 0
    readiness = Readiness()
    upgrade, fault = found_by_boot(upgrade)
    if upgrade.stage is Stage.PROVING:
        readiness.ready("proving")
    stays = await carry_on(upgrade, fault, lambda: readiness.ready("proving"), proof=proof)
    return 0 if stays else 1


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
