"""The activity LED: what it shows for which condition, and the kernel's files that make it do so.

The patterns are told apart without counting: off but for a spark, quick, slow, on,
a heartbeat. The kernel blinks by itself (ledtrig-timer, ledtrig-heartbeat), so a device
whose programs hang goes on showing the last one. It refuses a trigger whose module is not
loaded, and loads none by itself: tundev-report.service has them loaded before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tundev.appliance.status_text import Condition

CLASS = Path("/sys/class/leds")
NAMES = ("ACT", "led0", "act")
"""What the boards' device trees call it: Raspberry Pi's kernel, its former ones, Debian's."""


@dataclass(frozen=True)
class Pattern:
    """A trigger of the kernel; on and off in milliseconds, where it is `timer`; lit, where it is `none`."""

    trigger: str
    on: int = 0
    off: int = 0


PATTERNS = {
    Condition.NO_FILE: Pattern("timer", 50, 50),
    Condition.STARTING: Pattern("timer", 50, 1950),
    Condition.STOPPED: Pattern("timer", 50, 50),
    Condition.NO_NETWORK: Pattern("timer", 50, 1950),
    Condition.NO_RDV: Pattern("timer", 500, 500),
    Condition.ONLINE: Pattern("none"),
    Condition.SESSION: Pattern("heartbeat"),
}


class Led:
    """The board's activity LED; where there is none, nothing is shown."""

    def __init__(self, leds: Path = CLASS) -> None:
        found = (leds / name for name in NAMES if (leds / name / "trigger").exists())
        self._where = next(found, None)

    def show(self, condition: Condition) -> None:
        """Blink as `condition` does. Raises OSError where the kernel does not take it."""
        if self._where is None:
            return
        pattern = PATTERNS[condition]
        (self._where / "trigger").write_text(pattern.trigger, encoding="ascii")
        if pattern.trigger == "timer":
            # The kernel makes these two files when the trigger is set.
            (self._where / "delay_on").write_text(str(pattern.on), encoding="ascii")
            (self._where / "delay_off").write_text(str(pattern.off), encoding="ascii")
        elif pattern.trigger == "none":
            # Without a trigger it is off at first, and then what is written.
            most = (self._where / "max_brightness").read_text(encoding="ascii")
            (self._where / "brightness").write_text(most, encoding="ascii")
