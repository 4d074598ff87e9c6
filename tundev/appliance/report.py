"""tundev-report.service: shows how the device is, on its LED, its console and its card.

It hears the agent's signals and does nothing else: no agent waits for it, and what it
cannot show it leaves.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from contextlib import suppress
from pathlib import Path

from tundev import client, config, paths
from tundev.agent_here import follow_agent
from tundev.appliance.led import Led
from tundev.appliance.pace import Pace
from tundev.appliance.packages import OUTCOME
from tundev.appliance.status_text import Seen, card_lines, condition, for_card, screen_lines
from tundev.firstboot import outcome
from tundev.firstboot.boot_partition import BootPartition
from tundev.told import Values
from vtunlib import bus as buses
from vtunlib.errors import ConfigError, RdvError
from vtunlib.service import Readiness, until_told

CONSOLE = Path("/dev/tty1")
CLOCK_SET = Path("/run/systemd/timesync/synchronized")
"""There once systemd-timesyncd has heard a server (systemd-timesyncd(8))."""
SETTLE_SECONDS = 5.0
"""A state that lasts less is not worth a write to the card: a device that comes online passes five."""
START_SECONDS = 120.0
"""What an agent is given to say its first word: a Pi 3 under load takes a third of it."""
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"

log = logging.getLogger(__name__)


class Report:
    """What is known, and what of it is shown where."""

    def __init__(
        self,
        boot: BootPartition,
        *,
        led: Led,
        console: Path = CONSOLE,
        configuration: Path = paths.CONFIG,
        found: Path = outcome.FILE,
        upgraded: Path = OUTCOME,
        settle: float = SETTLE_SECONDS,
        start: float = START_SECONDS,
    ) -> None:
        """settle: seconds that a state must last to be written to the card; start: as START_SECONDS."""
        self._boot = boot
        self._led = led
        self._console = console
        self._configuration = configuration
        self._found = found
        self._upgraded = upgraded
        self._settle = settle
        self._start = start
        self._starting = True
        self._status: Values | None = None
        self._changed = asyncio.Event()
        self._pace = Pace()
        self._shown: object = None
        self._written: list[str] | None = None

    def agent(self, status: Values | None) -> None:
        """The agent says so, by contract.Key; None: it is gone."""
        self._status = status
        self._starting = self._starting and status is None
        self._changed.set()

    def seen(self) -> Seen:
        """All that is known now."""
        configured, enrolling = self._configuration.exists(), False
        with suppress(ConfigError):  # the agent does not run, and its advice tells where to look
            enrolling = configured and config.load(self._configuration).rdv.enrol_key is not None
        try:
            upgrade = self._upgraded.read_text(encoding="utf-8").strip()
        except OSError:
            upgrade = ""
        found = outcome.read(self._found)
        return Seen(found, configured, enrolling, self._status, upgrade, self._starting)

    def started(self) -> None:
        """An agent that has not been heard by now does not run."""
        self._starting = False
        self._changed.set()

    def show(self) -> None:
        """On the LED and the console, where they do not show it yet."""
        seen = self.seen()
        lines = screen_lines(seen)
        if (condition(seen), lines) == self._shown:
            return
        self._shown = condition(seen), lines
        try:
            self._led.show(condition(seen))
        except OSError as error:
            log.warning("the LED takes nothing: %s", error)
        if self._console.is_char_device():
            try:
                self._console.write_text(_CLEAR + "".join(f"{line}\r\n" for line in lines), encoding="utf-8")
            except OSError as error:
                log.warning("the console takes nothing: %s", error)

    def write(self) -> None:
        """On the card, where it does not say so yet."""
        lines = card_lines(self.seen())
        if lines == self._written:
            return
        try:
            with self._boot.writable():
                self._boot.replace(self._boot.status, for_card(lines, _now()))
        except (OSError, RdvError) as error:
            log.warning("cannot write %s: %s", self._boot.status, error)
        self._written = lines

    async def run(self) -> None:
        """For ever: show each change at once, and write it when it has settled and the pace allows."""
        loop = asyncio.get_running_loop()
        loop.call_later(self._start, self.started)
        clock = loop.time
        due: float | None = clock() + self._settle
        while True:
            self.show()
            self._changed.clear()
            left = None if due is None else max(0.0, due - clock())
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                before = self._written
                await asyncio.to_thread(self.write)
                if self._written is not before:
                    self._pace.wrote(clock())
                due = None
            else:
                due = due or clock() + max(self._settle, self._pace.wait(clock()))


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return now if CLOCK_SET.exists() else f"{now} by its own clock, which no server has set yet"


async def _serve() -> int:
    readiness = Readiness()
    report = Report(BootPartition(), led=Led())
    report.show()
    bus = await buses.connect()
    await follow_agent(bus, report.agent)
    readiness.ready("showing how the device is")
    lost: asyncio.Future[None] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
    work = [asyncio.create_task(task) for task in (report.run(), until_told(lost))]
    done, waiting = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    for task in done:
        task.result()
    return 0


def main() -> int:
    """Entry of /usr/lib/tundev/report."""
    client.set_up_logging(debug=False)
    return client.command("tundev-report", _serve)
