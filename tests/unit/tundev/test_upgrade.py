"""An upgrade of an appliance: what is taken, what follows from what, what is kept for the way back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tundev.appliance import packages
from tundev.appliance.packages import Package, check, keep, kept
from tundev.appliance.upgrade import (
    BOOTS,
    Stage,
    Upgrade,
    found_by_boot,
    load,
    next_stage,
    outcome,
    save,
)
from vtunlib.errors import ConfigError, NotFound

NEW = Upgrade("0.2.0")
PRESENT = [Package("tundev-common", "0.1.0"), Package("tundev-onsite", "0.1.0")]


def stages(faults: dict[Stage, str]) -> list[Stage]:
    """What an upgrade goes through whose stages end so."""
    passed, upgrade = [], NEW
    while True:
        passed.append(upgrade.stage)
        following = next_stage(upgrade, faults.get(upgrade.stage))
        if following is None or following is upgrade:
            return passed
        upgrade = following


def test_a_good_one_is_installed_and_proved() -> None:
    assert stages({}) == [Stage.INSTALLING, Stage.PROVING]


@pytest.mark.parametrize("at", [Stage.INSTALLING, Stage.PROVING])
def test_a_bad_one_goes_back_wherever_it_fails(at: Stage) -> None:
    assert stages({at: "no"})[-2:] == [at, Stage.RETURNING]


def test_a_way_back_that_fails_is_tried_again_at_the_next_boot() -> None:
    back = Upgrade("0.2.0", Stage.RETURNING, why="no")
    assert next_stage(back, "the card is full") is back
    assert found_by_boot(Upgrade("0.2.0", Stage.RETURNING, boots=50))[1] is None


def test_a_device_that_is_started_again_and_again_goes_back() -> None:
    upgrade, fault = Upgrade("0.2.0", Stage.PROVING), None
    for _ in range(BOOTS):
        upgrade, fault = found_by_boot(upgrade)
        assert fault is None
    upgrade, fault = found_by_boot(upgrade)
    following = next_stage(upgrade, fault)
    assert following is not None and following.stage is Stage.RETURNING


def test_what_came_of_it_is_told_in_words() -> None:
    assert outcome(Upgrade("0.2.0", Stage.PROVING), None) == "Upgraded to 0.2.0."
    back = Upgrade("0.2.0", Stage.RETURNING, why="dpkg failed")
    assert outcome(back, None) == (
        "The upgrade to 0.2.0 failed, and this device went back. The reason: dpkg failed."
    )
    assert "could not go back: full; tried again" in outcome(back, "full")


def test_it_is_found_again_after_a_boot_and_damage_is_none(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert load(file) is None
    upgrade = Upgrade("0.2.0", Stage.RETURNING, 2, "no")
    save(upgrade, file)
    assert load(file) == upgrade
    for damage in ("", "{", "[]", '{"stage": "x"}', '{"stage": "proving"}'):
        file.write_text(damage)
        assert load(file) is None


# what is taken


def of(version: str, *names: str) -> list[Package]:
    return [Package(name, version, Path(f"{name}.deb")) for name in names]


def test_all_of_one_version_are_taken() -> None:
    assert check(of("0.2.0", "tundev-onsite", "tundev-common"), PRESENT) == "0.2.0"


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        (of("0.2.0", "tundev-common"), "missing: tundev-onsite"),
        (of("0.2.0", "tundev-common", "tundev-onsite", "bash"), "not installed here: bash"),
        (of("0.2.0", "tundev-common") + of("0.3.0", "tundev-onsite"), "of more than one version"),
        (of("0.2.0", "tundev-common", "tundev-onsite", "tundev-onsite"), "of more than one version"),
    ],
)
def test_what_does_not_go_together_is_refused(offered: list[Package], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check(offered, PRESENT)


def test_a_file_that_is_no_package_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.deb"
    file.write_text("no")
    with pytest.raises(ConfigError, match="no Debian package"):
        packages.read(file)


def test_a_package_is_read(tmp_path: Path) -> None:
    control = tmp_path / "p/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: tundev-common\nVersion: 0.2.0\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
    )
    file = tmp_path / "c.deb"
    subprocess.run(["dpkg-deb", "--build", str(tmp_path / "p"), str(file)], check=True, capture_output=True)
    assert packages.read(file) == Package("tundev-common", "0.2.0", file)


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [
        ("0.10.0", "0.9.0", True),
        ("0.10.0", "0.10.0", False),
        ("0.10.0~rc1", "0.10.0", False),
        ("0.9", "1", False),
    ],
)
def test_versions_are_ordered_as_dpkg_does(version: str, than: str, expected: bool) -> None:
    assert packages.newer(version, than) is expected


# what is kept


def test_a_folder_is_the_former_one_or_the_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "installed"
    with pytest.raises(NotFound):
        kept(folder)
    for version in ("1", "2"):
        file = tmp_path / f"a_{version}.deb"
        file.write_text(version)
        (tmp_path / "installed.part").mkdir(exist_ok=True)
        (tmp_path / "installed.part/half").write_text("of a power cut")
        keep([file], folder)
        assert [path.name for path in kept(folder)] == [file.name]
        assert [path.name for path in folder.iterdir()] == [file.name]
