"""Which rules are in force: of the file, of the last good one, or none; and whose groups count."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rdv.access.decision import Answer
from rdv.access.groups import Groups
from rdv.access.in_force import AccessList, load
from rdv.access.rules import Party
from rdv.devices import Device, DeviceStore
from vtunlib.tunnel import Role, TunnelMode

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
GOOD = '[[rule]]\nmaster = "m1"\nonsite = "*"\n'
BAD = '[[rule]]\nmaster = "m2"\nonsite = 7\n'


class Rules:
    """An access list below one directory."""

    def __init__(self, directory: Path) -> None:
        self.file, self.kept = directory / "acl.toml", directory / "kept.toml"

    def manager(self) -> AccessList:
        return AccessList(Party, self.file, self.kept)


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    return Rules(tmp_path)


def allows(access: AccessList, master: str, onsite: str = "o1") -> bool:
    seen = access.visible(master, [onsite], NOW) == {onsite}
    assert seen == (access.decide(master, onsite, TunnelMode.L3, "", NOW).answer is Answer.YES)
    return seen


def test_a_changed_file_counts_once_it_is_looked_at(rules: Rules) -> None:
    rules.file.write_text(GOOD)
    access = rules.manager()
    assert allows(access, "m1") and not allows(access, "m2")
    rules.file.write_text(GOOD.replace("m1", "m2"))
    assert allows(access, "m1")
    access.refresh()
    assert allows(access, "m2") and not allows(access, "m1")


@pytest.mark.parametrize("text", [BAD, "[[rule\n", "", "\xff"])
def test_a_file_with_a_fault_leaves_the_rules_also_over_a_restart(rules: Rules, text: str) -> None:
    rules.file.write_text(GOOD)
    access = rules.manager()
    rules.file.write_text(text, encoding="latin-1")
    access.refresh()
    for one in (access, rules.manager()):
        assert allows(one, "m1") and not allows(one, "m2")
        assert str(rules.file) in one.now.fault and "stay in force" in one.now.fault
    rules.file.write_text(GOOD)
    access.refresh()
    assert access.now.fault == ""


def test_the_rules_stay_in_memory_where_they_cannot_be_kept(tmp_path: Path) -> None:
    file = tmp_path / "acl.toml"
    file.write_text(GOOD)
    access = AccessList(Party, file, tmp_path / "no-such-directory" / "kept.toml")
    file.write_text(BAD)
    access.refresh()
    assert allows(access, "m1")


def test_only_root_reads_what_is_kept(rules: Rules) -> None:
    rules.file.write_text(GOOD)
    rules.manager()
    assert rules.kept.read_text() == GOOD and rules.kept.stat().st_mode & 0o777 == 0o600


def test_what_is_kept_already_is_not_written_again(rules: Rules) -> None:
    rules.file.write_text(GOOD)
    rules.manager()
    former = rules.kept.stat()
    rules.manager()
    assert rules.kept.stat() == former


def test_without_any_file_that_can_be_taken_nobody_may_reach_anybody(rules: Rules) -> None:
    assert not allows(rules.manager(), "m1")
    rules.file.write_text(BAD)
    assert not allows(rules.manager(), "m1")
    rules.file.write_text(GOOD)
    access = rules.manager()
    rules.file.unlink()
    access.refresh()
    assert not allows(access, "m1") and "nobody" in load(rules.file, rules.kept).fault


def test_a_changed_line_of_groups_counts_at_once(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path)
    store.add(Device("rpi1", Role.ONSITE, groups=("champagne",)))
    groups = Groups(store)
    assert groups("rpi1") == Party("rpi1", frozenset({"champagne"}))
    (tmp_path / "rpi1.toml").write_text('role = "onsite"\ngroups = ["cellars", "spare"]\n')
    assert groups("rpi1") == Party("rpi1", frozenset({"cellars", "spare"}))


def test_the_groups_of_before_count_while_a_device_s_file_has_a_fault(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path)
    store.add(Device("rpi1", Role.ONSITE, groups=("champagne",)))
    groups = Groups(store)
    groups("rpi1")
    (tmp_path / "rpi1.toml").write_text('role = "onsite"\ngroups = 5\n')
    assert groups("rpi1") == Party("rpi1", frozenset({"champagne"}))
    # Never read before, it may do nothing: with fewer groups another rule might be the first that matches.
    assert Groups(store)("rpi1") is None
    (tmp_path / "rpi1.toml").unlink()
    assert groups("rpi1") is None


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "rpi1.toml", "A", os.devnull])
def test_a_name_that_is_no_device_s_may_do_nothing(tmp_path: Path, name: str) -> None:
    assert Groups(DeviceStore(tmp_path))(name) is None
