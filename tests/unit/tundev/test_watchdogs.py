"""Who hangs is ended: each service of a device by systemd, systemd by the machine, and in this order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_architecture import ROOT

OVERLAY = ROOT / "rootfs-overlay"
UNITS = sorted(OVERLAY.glob("*/usr/lib/systemd/system/*.service"))
PYTHON = b"#!/usr/bin/python3"
BCM2835_SECONDS = 16
"""The longest that the watchdog of a Raspberry Pi counts to (bcm2835_wdt.c: 20 bits of 1/65536 s)."""


def settings(file: Path) -> dict[str, list[str]]:
    """Each key with its values, of all sections."""
    found: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            found.setdefault(key, []).append(value)
    return found


def programs(unit: Path) -> Iterator[Path]:
    """Those of ours that it runs."""
    for line in settings(unit).get("ExecStart", []):
        for path in OVERLAY.glob(f"*{line.lstrip('-+!@:').split()[0]}"):
            if path.read_bytes().startswith(PYTHON):
                yield path


STAYING = [unit for unit in UNITS if list(programs(unit)) and settings(unit)["Type"] != ["oneshot"]]


def test_all_that_stay_are_found() -> None:
    names = {unit.name for unit in STAYING}
    assert {"onsitedev.service", "masterdev.service", "secondary-if-watcher.service"} < names
    assert {"masterdev-web.service", "tundev-report.service", "tundev-upgrade.service"} < names


@pytest.mark.parametrize("unit", STAYING, ids=[unit.name for unit in STAYING])
def test_a_service_of_ours_that_stays_has_a_watchdog_and_comes_back(unit: Path) -> None:
    found = settings(unit)
    assert found["Type"] == ["notify"]
    assert 0 < int(found["WatchdogSec"][0]) <= 60
    if unit.name == "tundev-upgrade.service":
        assert found["OnFailure"] == ["tundev-upgrade-rescue.service"]  # it is over, and badly
    else:
        assert found["Restart"] == ["always"]
        assert found["StartLimitIntervalSec"] == ["0"]  # systemd's default is to give up for ever


@pytest.mark.parametrize(
    "unit", [unit for unit in UNITS if unit not in STAYING], ids=lambda unit: str(unit.name)
)
def test_what_ends_by_itself_has_a_deadline(unit: Path) -> None:
    found = settings(unit)
    if found.get("Type") == ["oneshot"]:
        # systemd's default for these is to wait for ever, and what comes after them waits too.
        assert int(found["TimeoutStartSec"][0]) > 0


def test_the_machine_s_own_watchdog_looks_after_systemd() -> None:
    found = settings(OVERLAY / "image/usr/lib/systemd/system.conf.d/tundev.conf")
    for key in ("RuntimeWatchdogSec", "RebootWatchdogSec"):
        assert 10 <= int(found[key][0]) < BCM2835_SECONDS
