"""Put into a test's card in place of /usr/lib/tundev/firstboot: the same, but that it halts after a step.

Which step, the kernel's command line says: `halt_after=copy`. Without that word it is the product's own
program, so that the next boot of the same card is.
"""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tundev.firstboot import service
from tundev.firstboot.taking_over import Places, Plan, Step
from tundev.firstboot.taking_over import steps as all_steps

HALTED = "halted after "


def steps(made: Plan, places: Places) -> Iterator[Step]:
    """As taking_over's."""
    for step in all_steps(made, places):
        if f"halt_after={step}" in Path("/proc/cmdline").read_text(encoding="ascii").split():
            print(f"{HALTED}{step}", flush=True)
            signal.pause()
        yield step


if __name__ == "__main__":
    service.steps = steps  # type: ignore[attr-defined]
    sys.exit(service.main())
