"""tundev-firstboot.service: at each boot, before the network, takes the boot partition's file over.

A file that cannot be taken changes nothing: the device goes on with the one of before,
or waits. What came of it is kept for the report (tundev.appliance).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from tundev import config, settings
from tundev.firstboot import identity, outcome, strays
from tundev.firstboot.boot_partition import BUNDLE, BootPartition
from tundev.firstboot.outcome import Outcome
from tundev.firstboot.taking_over import Places, Plan, Step, look, plan, steps
from vtunlib.errors import ConfigError, RdvError


def take_over(places: Places) -> Outcome:
    """Bring the boot partition's file to where the agents read it. Never raises what can be told."""
    others = places.boot.others()
    try:
        found = look(places)
        made = plan(found)
    except ConfigError as error:
        return Outcome(fault=str(error), exposed=strays.exposed(others))
    except OSError as error:
        return Outcome(hindered=_reason(error), exposed=strays.exposed(others))
    if found.card is None and (meant := strays.misnamed(others)):
        # The next boot tells of the secrets in these, if they are there still.
        return replace(_carry_out(made, places), misnamed=meant)
    return replace(_carry_out(made, places), exposed=strays.exposed(others))


def _carry_out(made: Plan, places: Places) -> Outcome:
    """All steps, or those that can be made."""
    done: list[Step] = []
    try:
        for step in steps(made, places):
            done.append(step)
            print(f"{step}: done")
    except (OSError, RdvError) as error:
        taken = Step.CONFIG not in made.steps or Step.SOURCE in done
        return Outcome(untidied=_reason(error)) if taken else Outcome(hindered=_reason(error))
    return Outcome(damaged=made.damaged)


def _reason(error: OSError | RdvError) -> str:
    """Without the file's name, which means nothing to who has the card alone."""
    return str(error) if isinstance(error, RdvError) else error.strerror or str(error)


def _told(found: Outcome) -> Iterator[str]:
    """For the journal; who has only the card reads it in the status file."""
    yield from (words for words in (found.fault, found.hindered, found.untidied) if words)
    if found.damaged:
        yield f"{BUNDLE} was {found.damaged}: the former one was put back"
    if found.misnamed:
        yield f"to be called {BUNDLE}: {found.misnamed}"
    if found.exposed:
        yield f"with secrets of a device: {found.exposed}"


def main() -> int:
    """Entry of /usr/lib/tundev/firstboot."""
    try:
        places = Places(BootPartition(), settings.group_of_ssh())
        before = outcome.read()
        found = replace(take_over(places), remade=before.remade, broken=before.broken)
        outcome.write(found)
        for words in _told(found):
            print(f"tundev-firstboot: {words}", file=sys.stderr)
        if places.config.exists():
            loaded = config.load(places.config)
            identity.take_name(loaded)
            identity.let_in(loaded.login)
    except (OSError, RdvError) as error:
        print(f"tundev-firstboot: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, RdvError) else 1
    if found.fault:
        return ConfigError.exit_code
    return RdvError.exit_code if found.hindered else 0
