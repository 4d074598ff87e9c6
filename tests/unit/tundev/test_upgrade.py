"""An upgrade of an appliance: what is taken, what follows from what, what is kept for the way back."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.unit.tundev.test_watchdogs import OVERLAY, settings
from tundev.appliance import packages
from tundev.appliance.packages import INSTALL_SECONDS, Package, check, kept, put, store
from tundev.appliance.proof import in_words
from tundev.appliance.upgrade import (
    BOOTS,
    RESCUE,
    SERVICE,
    START_SECONDS,
    Stage,
    Upgrade,
    found_by_boot,
    load,
    next_stage,
    outcome,
    save,
)
from vtunlib.errors import ConfigError, NotFound

NEW = Upgrade("0.2.0", boot="b0")
PRESENT = [Package("tundev-common", "0.1.0"), Package("tundev-onsite", "0.1.0")]


def stages(faults: dict[Stage, str], cuts: Sequence[Stage] = ()) -> list[Stage]:
    """What an upgrade goes through whose stages end so, and in which the power is cut."""
    passed, upgrade, boot = [], NEW, 0
    while True:
        passed.append(upgrade.stage)
        if upgrade.waits or upgrade.stage in cuts[boot:]:
            boot += 1
            upgrade, _ = found_by_boot(upgrade, f"b{boot}")
        following = next_stage(upgrade, faults.get(upgrade.stage))
        if following is None or following is upgrade:
            return passed
        upgrade = following


def test_a_good_one_is_proved_by_a_boot_before_its_files_are_kept() -> None:
    assert stages({}) == [Stage.INSTALLING, Stage.PROVING, Stage.SETTLING, Stage.KEEPING]


def test_one_boot_is_enough() -> None:
    cut = stages({}, [Stage.PROVING])
    assert cut == [Stage.INSTALLING, Stage.PROVING, Stage.KEEPING]
    # That one began with a root of both versions.
    assert stages({}, [Stage.INSTALLING])[2:] == [Stage.SETTLING, Stage.KEEPING]


@pytest.mark.parametrize("at", [Stage.INSTALLING, Stage.PROVING, Stage.SETTLING])
def test_a_bad_one_goes_back_wherever_it_fails(at: Stage) -> None:
    assert stages({at: "no"})[-2:] == [at, Stage.RETURNING]


def test_a_good_one_never_goes_back_because_its_files_cannot_be_kept() -> None:
    assert stages({Stage.KEEPING: "the card is full"})[-1] is Stage.KEEPING
    keeping = Upgrade("0.2.0", Stage.KEEPING, boots=50)
    assert found_by_boot(keeping, "b1")[1] is None
    assert next_stage(keeping, "the card is full") is keeping


def test_a_way_back_that_fails_is_tried_again_at_the_next_boot() -> None:
    back = Upgrade("0.2.0", Stage.RETURNING, boots=50, why="no")
    assert next_stage(back, "the card is full") is back
    assert found_by_boot(back, "b1")[1] is None


@pytest.mark.parametrize("stage", [Stage.INSTALLING, Stage.PROVING, Stage.SETTLING])
def test_a_device_that_is_started_again_and_again_goes_back(stage: Stage) -> None:
    upgrade, fault = Upgrade("0.2.0", stage, boot="b0"), None
    for boot in range(1, BOOTS + 1):
        upgrade, fault = found_by_boot(upgrade, f"b{boot}")
        assert fault is None
        # The service that is started by hand is no boot.
        assert found_by_boot(upgrade, f"b{boot}") == (upgrade, None)
    upgrade, fault = found_by_boot(upgrade, "b9")
    following = next_stage(upgrade, fault)
    assert following is not None and following.stage is Stage.RETURNING


def test_what_came_of_it_is_told_in_words() -> None:
    assert outcome(Upgrade("0.2.0", Stage.KEEPING), None) == "Upgraded to 0.2.0."
    settling = outcome(Upgrade("0.2.0", Stage.SETTLING), None)
    assert settling.startswith("Upgraded to 0.2.0; the former version is kept until")
    back = Upgrade("0.2.0", Stage.RETURNING, why="dpkg failed")
    assert outcome(back, None) == (
        "The upgrade to 0.2.0 failed, and this device went back. The reason: dpkg failed."
    )
    assert "could not go back: full; tried again" in outcome(back, "full")


@pytest.mark.parametrize(
    ("seconds", "told"), [(20, "20 seconds"), (600, "10 minutes"), (5400, "90 minutes"), (86400, "24 hours")]
)
def test_a_limit_is_told_in_words(seconds: float, told: str) -> None:
    assert in_words(seconds) == told


def test_it_is_found_again_after_a_boot_and_damage_is_none(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert load(file) is None
    upgrade = Upgrade("0.2.0", Stage.RETURNING, 2, "no", "new.x", "b1")
    save(upgrade, file)
    assert load(file) == upgrade
    for damage in ("", "{", "[]", '{"stage": "x"}', '{"stage": "proving"}'):
        file.write_text(damage)
        assert load(file) is None


def test_what_another_version_has_noted_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text(json.dumps({"version": "0.3.0", "stage": "returning", "why": "no", "what_is_new": 1}))
    assert load(file) == Upgrade("0.3.0", Stage.RETURNING, why="no")


def test_whoever_waits_for_another_waits_longer() -> None:
    units = OVERLAY / "image/usr/lib/systemd/system"
    limits = {name: int(settings(units / name)["TimeoutStartSec"][0]) for name in (SERVICE, RESCUE)}
    # dpkg, to install and to go back; the service; the command, which adds to it.
    assert limits[SERVICE] == START_SECONDS > 2 * INSTALL_SECONDS
    assert limits[RESCUE] > INSTALL_SECONDS


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


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are kept, with the files of a version 1 as installed."""
    monkeypatch.setattr(packages, "WHERE", tmp_path / "kept")
    (tmp_path / "kept/installed").mkdir(parents=True)
    (tmp_path / "kept/installed/a_1.deb").write_text("1")
    return tmp_path / "kept"


def built(folder: Path, version: str, count: int = 1) -> list[Path]:
    """Files as of packages."""
    files = [folder / f"{'abc'[at]}_{version}.deb" for at in range(count)]
    for file in files:
        file.write_text(version)
    return files


def test_a_folder_without_packages_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        kept(tmp_path / "installed")


def test_what_is_stored_anew_leaves_what_is_spared(where: Path, tmp_path: Path) -> None:
    first = store(built(tmp_path, "2"))
    second = store(built(tmp_path, "3"), spare=first)
    assert [path.name for path in (*kept(first), *kept(second))] == ["a_2.deb", "a_3.deb"]
    third = store(built(tmp_path, "4"), spare=second)
    assert sorted(where.iterdir()) == sorted([where / "installed", second, third])


def test_a_partition_that_is_full_is_as_full_as_before(
    where: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile

    def full(source: Path, target: Path) -> object:
        if target.name.startswith("b"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        store(built(tmp_path, "2", 3))
    assert list(where.iterdir()) == [where / "installed"]


@pytest.mark.parametrize("done", range(4))
def test_an_exchange_of_folders_is_finished_wherever_it_was_cut(
    where: Path, tmp_path: Path, done: int
) -> None:
    new, installed, aside = store(built(tmp_path, "2")), where / "installed", where / "installed.former"
    steps: list[Callable[[], object]] = [
        lambda: installed.rename(aside),
        lambda: new.rename(installed),
        (aside / "a_1.deb").unlink,
    ]
    for step in steps[:done]:
        step()
    put(new, installed)
    assert [path.name for path in kept(installed)] == ["a_2.deb"]
    assert list(where.iterdir()) == [installed]
    put(new, installed)
    assert [path.name for path in kept(installed)] == ["a_2.deb"]
