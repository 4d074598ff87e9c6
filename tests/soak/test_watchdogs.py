"""What hangs is bitten: an agent by its unit's watchdog, systemd and the kernel by the machine's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.image.channel import Message
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.process import LabError
from tests.soak.device import DEADLINE, Device, device

WATCHDOG = ("-device", "i6300esb", "-action", "watchdog=reset")
"""QEMU's only one for this machine. A board's own is the BCM2835's, which no emulation has."""


@pytest.fixture(scope="module")
def onsite(rdv: Lab, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """One that is online, in a machine with a watchdog."""
    folder = tmp_path_factory.mktemp("watchdogs")
    with device(rdv, image, folder, random.Random(0), more=WATCHDOG) as made:  # noqa: S311
        made.switch_on()
        made.wait_online()
        assert made.guest.wait_booted(DEADLINE) == []
        yield made


def test_an_agent_that_is_stopped_is_bitten_and_online_again(onsite: Device) -> None:
    former = onsite.property("onsitedev.service", "MainPID")
    onsite.guest.run(["kill", "-STOP", former])
    wait_until(lambda: bitten(onsite), what="the agent's watchdog bites", deadline=DEADLINE, every=1.0)
    wait_until(
        lambda: (
            onsite.property("onsitedev.service", "SubState") == "running"
            and onsite.property("onsitedev.service", "MainPID") != former
        ),
        what="another agent",
        deadline=DEADLINE,
        every=1.0,
    )
    onsite.wait_online()


def bitten(onsite: Device) -> bool:
    """Whether systemd has ended the agent because it gave no sign."""
    told = onsite.journal("--boot", "--unit=onsitedev.service")
    return any("Watchdog timeout" in entry["MESSAGE"] for entry in told)


@pytest.mark.parametrize(
    "crash",
    [
        pytest.param("echo c > /proc/sysrq-trigger", id="kernel"),
        # systemd catches it, says what it was, and does nothing any more.
        pytest.param("kill -SEGV 1", id="systemd"),
    ],
)
def test_a_machine_that_has_crashed_is_bitten_and_online_again(onsite: Device, crash: str) -> None:
    assert onsite.guest.run(["cat", "/sys/class/watchdog/watchdog0/state"]).out == "active\n"
    assert onsite.guest.run(["cat", "/sys/class/watchdog/watchdog0/timeout"]).out == "14\n"
    former = onsite.guest.run(["cat", "/proc/sys/kernel/random/boot_id"]).out
    del onsite.guest.monitor.events[:]
    with suppress(LabError):  # a kernel that has crashed has no answer sent
        onsite.guest.run(["sh", "-c", crash], deadline=5.0)
    onsite.guest.monitor.wait_event(_bitten, what="the machine's watchdog bites", deadline=DEADLINE)
    onsite.guest.wait_booted(DEADLINE)
    assert onsite.guest.run(["cat", "/proc/sys/kernel/random/boot_id"]).out != former
    onsite.wait_online()


def _bitten(event: Message) -> bool:
    return bool(event["event"] == "WATCHDOG" and event["data"]["action"] == "reset")
