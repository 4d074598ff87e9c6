"""What an admin reads: lengths of time, amounts, the one screen."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from rdv.admin import shown, status

NOW = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3659, "1 h"),
        (3660, "1 h 1 min"),
        (3 * 86400 + 4 * 3600 + 59, "3 d 4 h"),
        (86400 + 59 * 60, "1 d"),
        (400 * 86400, "400 d"),
    ],
)
def test_a_length_of_time_has_its_two_greatest_units(seconds: float, text: str) -> None:
    assert shown.length(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_600, "1.00 MB"),
        (123_456_789, "123 MB"),
        (45_600_000_000, "45.6 GB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_an_amount_has_three_digits(count: int, text: str) -> None:
    assert shown.size(count) == text


def test_a_line_that_the_terminal_has_no_room_for_is_cut_off_and_said_so() -> None:
    assert shown.fitted("12345\n123456", 5) == "12345\n1234…"
    assert shown.fitted("12345\n123456", None) == "12345\n123456"


def device(name: str, *, online: bool | None = True, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": name,
        "role": "onsite",
        "online": online,
        "disabled": False,
        "label": "",
        "location": "",
    }
    return {**row, "last_seen": None, **more}


def told(**more: Any) -> status.Status:
    server: dict[str, Any] = {
        "name": "rdv.example.com",
        "ssh_port": 2222,
        "version": "0.1.0",
        "manager_since": "2026-11-22T08:00:00Z",
        "drain": None,
    }
    return {"server": server, "warnings": [], "sessions": [], "devices": [], **more}


def test_a_new_server_says_what_to_do_first() -> None:
    text = status.screen(told(), NOW)
    assert text.splitlines()[0] == (
        "rdv.example.com, SSH on port 2222: rdv-server 0.1.0, manager runs for 3 d 4 h"
    )
    assert "no session" in text and "rdv-admin device add" in text
    assert "WARNINGS" not in text


def test_the_screen_shows_sessions_with_age_amounts_and_round_trip_time() -> None:
    session: dict[str, Any] = {
        "id": "0123abcd",
        "onsite": "rpi1100",
        "master": "rpi1101",
        "mode": "L3",
        "state": "up",
        "since": "2026-11-25T11:00:00Z",
        "rtt_ms": 23.6,
        "to_onsite": 1234,
        "from_onsite": 5_600_000,
        "reason": "ticket 4711",
    }
    young = {
        **session,
        "state": "legs",
        "id": "0123abce",
        "rtt_ms": None,
        "to_onsite": None,
        "from_onsite": None,
        "reason": "",
    }
    lines = status.screen(told(sessions=[session, young]), NOW).splitlines()
    (row,) = [line for line in lines if "0123abcd" in line]
    cells = [word.strip() for word in row.split("  ") if word.strip()]
    assert cells[:4] == ["0123abcd", "rpi1101", "rpi1100", "L3"]
    assert cells[4:] == ["1 h", "1.23 kB", "5.60 MB", "24 ms", "ticket 4711"]
    (row,) = [line for line in lines if "0123abce" in line]
    assert "L3, not up yet" in row
    assert row.split()[-4:] == ["-", "-", "-", "-"]


def test_devices_that_matter_now_come_first_and_a_fleet_is_one_screen() -> None:
    fleet = [device(f"rpi{n}", since="2026-11-25T11:59:00Z") for n in range(100, 100 + status.SCREEN)]
    old, new, never = (
        device("old", online=False, last_seen="2026-01-01T00:00:00Z"),
        device("new", online=False, last_seen="2026-11-25T11:00:00Z"),
        device("never", online=False),
    )
    busy = device("zz-busy", since="2026-11-25T11:59:00Z", in_session="m1")
    few = status.screen(told(devices=[old, never, new, fleet[0], busy]), NOW)
    rows = [line.split() for line in few.splitlines() if line.startswith("  ")][1:]
    assert [row[0] for row in rows] == ["zz-busy", "rpi100", "new", "old", "never"]
    assert rows[2][2:5] == ["offline", "1", "h"]
    assert "DEVICES (2 of 5 online)" in few
    many = status.screen(told(devices=[old, never, new, *fleet, busy]), NOW)
    assert "… and 4 more: rdv-admin device list" in many
    assert " old " not in many


def test_a_disabled_device_and_one_of_which_nobody_knows_are_shown_as_such() -> None:
    text = status.screen(told(devices=[device("a", disabled=True), device("b", online=None)]), NOW)
    rows = {line.split()[0]: line.split()[2] for line in text.splitlines() if line.startswith("  ")}
    assert rows["a"] == "disabled" and rows["b"] == "?"


def test_what_came_from_a_device_cannot_write_on_the_terminal() -> None:
    text = status.screen(told(devices=[device("a", version="\x1b[31m", location="x\ny\x07")]), NOW)
    assert all(line.isprintable() for line in text.splitlines())


def test_warnings_and_the_drain_stand_before_all_else_and_without_a_manager_it_is_said() -> None:
    found = told(
        warnings=[
            {"key": "acl", "text": "acl.toml:3: bad", "since": "2026-11-25T11:55:00Z"},
            {"key": "manager", "text": "the manager does not run", "since": None},
        ]
    )
    found["server"]["manager_since"] = None
    found["server"]["drain"] = {"since": "2026-11-25T11:50:00Z", "reason": "new kernel"}
    lines = status.screen(found, NOW).splitlines()
    assert lines[0].endswith(", no manager")
    assert lines[1] == "new sessions are refused for 10 min: new kernel ('rdv-admin drain --off' ends it)"
    assert lines[3:6] == [
        "WARNINGS (2)",
        "  ! acl.toml:3: bad (since 5 min)",
        "  ! the manager does not run",
    ]
    narrow = status.screen(found, NOW, 24).splitlines()
    assert narrow[4:7] == ["  ! acl.toml:3: bad", "    (since 5 min)", "  ! the manager does not"]
