"""What an access list says, and what is refused with line, key and what was expected."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rdv.access import reach, rules
from rdv.access.decision import Answer, Verdict, decide, ending, refusal
from rdv.access.reach import ALL, LAN
from rdv.access.rules import Party, Rule
from vtunlib.errors import ConfigError
from vtunlib.tunnel import TunnelMode

INSTALLED = Path(__file__).resolve().parents[4] / "rdv/system/etc/rdv/acl.toml"

L2, L3 = TunnelMode.L2, TunnelMode.L3
WEDNESDAY = datetime(2026, 11, 25, 12, 0).astimezone()
SUNDAY = datetime(2026, 11, 29, 12, 0).astimezone()

DESK = Party("m1", frozenset({"desk"}))
STRANGER = Party("m2")
CHAMPAGNE = Party("o1", frozenset({"champagne", "cellars"}))
LONELY = Party("o2")


def read(tmp_path: Path, text: str) -> tuple[Rule, ...]:
    path = tmp_path / "acl.toml"
    path.write_text(text)
    return rules.read(path)[0]


EXAMPLE = """\
[[rule]]
name = "service desk"
master = "group:desk"
onsite = ["group:cellars", "o9"]
mode = "L3"
hours = "Mon-Fri 07:00-19:00"
reach = ["192.168.1.50 443/tcp"]
require_reason = true

[[rule]]
master = ["m1"]
onsite = "group:champagne"
reach = "all"
hours = "Mon-Sat"
"""


def test_as_installed_every_master_may_reach_the_lan_of_every_onsite() -> None:
    (rule,), _ = rules.read(INSTALLED)
    for mode in TunnelMode:
        verdict = decide((rule,), STRANGER, LONELY, mode, SUNDAY, "")
        assert (verdict.answer, rule.reach, rule.require_reason) == (Answer.YES, LAN, False)


@pytest.mark.parametrize(
    ("master", "onsite", "mode", "at", "reason", "expected"),
    [
        # The first rule that concerns all four decides, though a later one would ask less.
        (DESK, CHAMPAGNE, L3, WEDNESDAY, "ticket 4711", (Answer.YES, 1)),
        (DESK, CHAMPAGNE, L3, WEDNESDAY, "  ", (Answer.NOT_WITHOUT_REASON, 1)),
        (DESK, CHAMPAGNE, L3, WEDNESDAY, None, (Answer.YES, 1)),
        (DESK, CHAMPAGNE, L2, WEDNESDAY, "", (Answer.YES, 2)),
        (DESK, CHAMPAGNE, L3, SUNDAY, "", (Answer.NOT_AT_THIS_HOUR, None)),
        (DESK, Party("o9"), L2, WEDNESDAY, "", (Answer.NOT_IN_THIS_MODE, None)),
        (DESK, Party("o9"), L3, WEDNESDAY, "x", (Answer.YES, 1)),
        (DESK, LONELY, L3, WEDNESDAY, "x", (Answer.NEVER, None)),
        (STRANGER, CHAMPAGNE, L3, WEDNESDAY, "x", (Answer.NEVER, None)),
        # A group is no account, and an account no group.
        (Party("desk"), CHAMPAGNE, L3, WEDNESDAY, "x", (Answer.NEVER, None)),
    ],
)
def test_the_first_rule_that_matches_decides(
    tmp_path: Path,
    master: Party,
    onsite: Party,
    mode: TunnelMode,
    at: datetime,
    reason: str | None,
    expected: tuple[Answer, int | None],
) -> None:
    verdict = decide(read(tmp_path, EXAMPLE), master, onsite, mode, at, reason)
    assert (verdict.answer, verdict.rule.number if verdict.rule else None) == expected


def test_a_refusal_says_what_would_do(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    other_hour = refusal(decide(found, DESK, CHAMPAGNE, L3, SUNDAY), "m1", "o1", L3)
    assert other_hour is not None and "Mon-Fri 07:00-19:00; Mon-Sat" in other_hour.hint
    other_mode = refusal(decide(found, DESK, Party("o9"), L2, WEDNESDAY), "m1", "o9", L2)
    assert other_mode is not None and other_mode.hint == "it may in L3"


def test_a_session_ends_when_what_it_was_opened_for_is_not_so_any_more(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    there = decide(found, DESK, CHAMPAGNE, L2, WEDNESDAY, "")
    assert ending(there, L2, ALL) == ""
    assert "has changed" in ending(there, L2, LAN)
    assert "hours are over" in ending(decide(found, DESK, CHAMPAGNE, L2, SUNDAY, ""), L2, ALL)
    assert "in mode L2 any more" in ending(decide(found, DESK, Party("o9"), L2, WEDNESDAY, ""), L2, ALL)
    assert "reason" in ending(decide(found, DESK, CHAMPAGNE, L3, WEDNESDAY, ""), L3, ALL)
    assert "any more" in ending(Verdict(Answer.NEVER), L3, ALL)


def test_time_alone_changes_the_rules_next_where_any_of_them_begins_or_ends(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    assert rules.next_change(found, WEDNESDAY) == datetime(2026, 11, 25, 19, 0).astimezone(UTC)
    assert rules.next_change(read(tmp_path, "rule = []\n"), WEDNESDAY) is None


@pytest.mark.parametrize(
    ("text", "line", "key", "expected"),
    [
        ("", 1, "rule", "rule = [] where nobody may"),
        ("# nothing\n", 1, "rule", "at least once"),
        ("rule = 5\n", 1, "rule", "[[rule]]"),
        ("rules = []\n", 1, "rules", "[[rule]] only"),
        ('[[rule]]\nmaster = "m1"\n', 1, "rule", "onsite in it: an account"),
        ('[[rule]]\nmaster = "m1"\nonsite = 7\n', 3, "onsite", "an account"),
        ('[[rule]]\nmaster = "group:"\nonsite = "*"\n', 2, "master", "'group:' is none"),
        ('[[rule]]\nmaster = ["m1", "Not One"]\nonsite = "*"\n', 2, "master", "'Not One' is none"),
        ('[[rule]]\nmaster = "m1"\nonsite = []\n', 3, "onsite", "an account"),
        ('[[rule]]\nmaster = "m1"\nonsite = "*"\ncolour = 1\n', 4, "colour", "one of name, master"),
        ('[[rule]]\nmaster = "m1"\nonsite = "*"\nmode = "L4"\n', 4, "mode", '"L2", "L3"'),
        ('[[rule]]\nmaster = "m1"\nonsite = "*"\nmode = []\n', 4, "mode", '"L2", "L3"'),
        ('[[rule]]\nmaster = "m1"\nonsite = "*"\nname = "a\\u0007"\n', 4, "name", "printable"),
        (
            '[[rule]]\nmaster = "m1"\nonsite = "*"\nrequire_reason = "yes"\n',
            4,
            "require_reason",
            "true or false",
        ),
        ('[[rule]]\nmaster = "m1"\nonsite = "*"\nhours = "Mon 7-19"\n', 4, "hours", "'7' is no time"),
        ('[[rule]]\nmaster = "m1"\nonsite = "*"\nreach = "LAN"\n', 4, "reach", '"lan", "all"'),
        # The second rule's own line, where only it has the key, and where both have.
        (
            '[[rule]]\nmaster = "m1"\nonsite = "*"\n[[rule]]\nmaster = "m1"\nonsite = "*"\nmode = 3\n',
            7,
            "mode",
            '"L2"',
        ),
        (
            '[[rule]]\nmaster = "m1"\nonsite = "*"\n[[rule]]\nmaster = ""\nonsite = "*"\n',
            5,
            "master",
            "'' is none",
        ),
        ('[[rule]]\nmaster = "m1"\nonsite = "*"\n[[rule]]\nonsite = "*"\n', 4, "rule", "master in it"),
    ],
)
def test_a_fault_names_line_key_and_what_was_expected(
    tmp_path: Path, text: str, line: int, key: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert raised.value.message == f"{tmp_path}/acl.toml:{line}: {key}"
    assert raised.value.hint.startswith("expected ") and expected in raised.value.hint


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("lan", "lan"),
        ("all", "all"),
        (["192.168.1.50"], "192.168.1.50"),
        (["192.168.1.0/24", "192.168.1.50  443/tcp"], "192.168.1.0/24, 192.168.1.50 443/tcp"),
        (["10.0.0.0/8 161/udp", "10.0.0.1 icmp"], "10.0.0.0/8 161/udp, 10.0.0.1 icmp"),
        (["10.0.0.1 8000-8080/tcp"], "10.0.0.1 8000-8080/tcp"),
    ],
)
def test_a_reach_is_read_and_written_back(value: object, shown: str) -> None:
    assert str(reach.parse(value)) == shown
    assert reach.parse(reach.parse(value).value()) == reach.parse(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("everything", '"lan", "all"'),
        ([], "a list of what may be reached"),
        ([5], "a list of what may be reached"),
        (["camera"], "in 'camera'"),
        (["192.168.1.50/24"], "host bits"),
        (["fe80::1"], "in 'fe80::1'"),
        (["192.168.1.50:443"], "in '192.168.1.50:443'"),
        (["192.168.1.50 443"], "'443' is neither PORT/tcp"),
        (["192.168.1.50 443/sctp"], "'443/sctp' is neither"),
        (["192.168.1.50 0/tcp"], "'0/tcp' are no ports"),
        (["192.168.1.50 80-70/tcp"], "are no ports"),
        (["192.168.1.50 65536/udp"], "are no ports"),
        (["192.168.1.50 443/tcp; flush ruleset"], "is neither"),
    ],
)
def test_what_is_no_reach_is_refused_with_what_was_expected(value: object, told: str) -> None:
    with pytest.raises(ValueError) as raised:
        reach.parse(value)
    assert told in str(raised.value)
