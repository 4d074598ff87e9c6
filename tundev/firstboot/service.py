"""tundev-firstboot.service: at each boot, before the network, takes the boot partition's file over.

A file that cannot be taken changes nothing: the device goes on with the one of before,
or waits. What came of it is kept for the report (tundev.appliance).
"""

from __future__ import annotations

import sys
from dataclasses import replace

from tundev import config, settings
from tundev.firstboot import identity, outcome
from tundev.firstboot.boot_partition import BootPartition
from tundev.firstboot.outcome import Outcome
from tundev.firstboot.taking_over import Places, Step, look, plan, steps
from vtunlib.errors import ConfigError, RdvError


def take_over(places: Places) -> Outcome:
    """Bring the boot partition's file to where the agents read it. Never raises what can be told."""
    done: list[Step] = []
    try:
        made = plan(look(places))
        for step in steps(made, places):
            done.append(step)
            print(f"{step}: done")
    except ConfigError as error:
        return Outcome(fault=str(error))
    except (OSError, RdvError) as error:
        taken = Step.CONFIG not in made.steps or Step.SOURCE in done
        return (
            Outcome(untidied=str(error)) if taken else Outcome(fault=f"it could not be taken over: {error}")
        )
    if places.boot.read() is None and not places.config.exists():
        return Outcome(misnamed=places.boot.misnamed())
    return Outcome()


def main() -> int:
    """Entry of /usr/lib/tundev/firstboot."""
    try:
        places = Places(BootPartition(), settings.group_of_ssh())
        before = outcome.read()
        found = replace(take_over(places), remade=before.remade, broken=before.broken)
        outcome.write(found)
        for word in (found.fault, found.untidied):
            if word:
                print(f"tundev-firstboot: {word}", file=sys.stderr)
        if places.config.exists():
            loaded = config.load(places.config)
            identity.take_name(loaded)
            identity.let_in(loaded.login)
    except (OSError, RdvError) as error:
        print(f"tundev-firstboot: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, RdvError) else 1
    return ConfigError.exit_code if found.fault else 0
