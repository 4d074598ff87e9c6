"""The audit of the installed server: what a session leaves in it, also when the manager dies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.test_kills import kill, main_pid
from tests.lab.test_sessions import account, listed, session
from tests.lab.topology import CAMERA, DOWNLOAD, DOWNLOAD_BYTES
from vtunlib.errors import SessionFailed

MANAGER = "vtun-manager.service"
STORE = "/var/lib/rdv/audit.db"


def rows(lab: Lab, *words: str) -> list[dict[str, Any]]:
    """What `rdv-admin audit --json` shows."""
    found: list[dict[str, Any]] = json.loads(lab.rdv.run(["rdv-admin", "audit", "--json", *words]).out)
    return found


def settled(lab: Lab, number: str, *kinds: str) -> list[dict[str, Any]]:
    """The rows of that session, once the last of these kinds is among them; there must be no others."""
    wait_until(
        lambda: any(row["kind"] == kinds[-1] for row in rows(lab, "--session", number)),
        what=f"{kinds[-1]} of session {number}",
        deadline=15,
        every=0.2,
    )
    found = rows(lab, "--session", number)
    assert [row["kind"] for row in found] == list(kinds)
    return found


def back(lab: Lab, former: int) -> None:
    """Another manager runs than the one of that process, and all devices are attached to it."""
    show = ["systemctl", "show", "--property=ActiveState,MainPID", "--value", MANAGER]

    def another() -> bool:
        words = set(lab.rdv.run(show).out.split())
        return "active" in words and str(former) not in words

    wait_until(another, what="another manager", deadline=30)
    lab.wait_online(deadline=30)


def test_a_session_s_rows_say_who_whom_why_when_and_how_much(lab: Lab) -> None:
    onsite, master = account(lab, 0), lab.plan.desks[0].account
    reason = "ticket 4711: Kältemaschine"
    lab.master.run(["masterdev", "connect", onsite, "--reason", reason, "--detach"], deadline=60)
    (number,) = [row["id"] for row in listed(lab)]
    lab.laptop.dhcp()
    curl = ["curl", "--silent", "--fail", "--max-time", "120", "--output", "/dev/null"]
    lab.laptop.run([*curl, f"http://{CAMERA}/{DOWNLOAD}"], deadline=130)
    lab.master.run(["masterdev", "disconnect"])
    opened, up, ended = settled(lab, number, "session-opened", "session-up", "session-ended")
    assert opened["device"] == up["device"] == ended["device"] == onsite
    agreed = {"master": master, "mode": "L3", "reason": reason}
    assert {key: opened["more"][key] for key in agreed} == agreed
    assert {key: ended["more"][key] for key in agreed} == agreed
    assert opened["at"] <= up["at"] <= ended["at"] and ended["more"]["started"] <= opened["at"]
    assert 0 < up["more"]["seconds"] < 30
    assert ended["more"]["why"] == f"dropped by master {master}: the master disconnected"
    # The packets' headers are counted too, and the way there are the acknowledgements.
    assert DOWNLOAD_BYTES < ended["more"]["from_onsite"] < 1.2 * DOWNLOAD_BYTES
    assert 0 < ended["more"]["to_onsite"] < 0.2 * DOWNLOAD_BYTES
    # The same for people, found by the master's name too.
    told = lab.rdv.run(["rdv-admin", "audit", "--device", master, "--since", "1h"]).out
    (line,) = [line for line in told.splitlines() if number in line and "session-ended" in line]
    assert reason in line and f"with {master} L3" in line and "MB from it" in line


def test_a_manager_that_is_killed_loses_no_row_and_doubles_none(lab: Lab) -> None:
    before = rows(lab, "--kind", "online", "--kind", "offline")
    with session(lab.master, account(lab, 0), "L3"):
        (number,) = [row["id"] for row in listed(lab)]
        for _ in range(3):
            pid = main_pid(lab.rdv, MANAGER)
            kill(lab.rdv, pid)
            back(lab, pid)
        assert [row["id"] for row in listed(lab)] == [number]
    settled(lab, number, "session-opened", "session-up", "session-ended")
    # Nobody came and nobody went: the devices were connected all the time.
    assert rows(lab, "--kind", "online", "--kind", "offline") == before


def test_a_session_that_dies_with_the_manager_gets_its_end_at_the_next_start(lab: Lab) -> None:
    onsite = account(lab, 0)
    with session(lab.master, onsite, "L3"):
        (number,) = [row["id"] for row in listed(lab)]
        lab.laptop.dhcp()
        assert lab.laptop.ping(str(CAMERA)).code == 0
        pid = main_pid(lab.rdv, MANAGER)
        # The legs first, by a manager that cannot see it: the next one finds a session that stands no more.
        lab.rdv.run(["kill", "-STOP", str(pid)])
        lab.rdv.run(["systemctl", "stop", f"rdv-leg-{number}-*.service"])
        kill(lab.rdv, pid)
        back(lab, pid)
        ended = settled(lab, number, "session-opened", "session-up", "session-ended")[-1]
        assert "restarted" in ended["more"]["why"]
        # Its namespace was still there to be asked.
        assert ended["more"]["to_onsite"] > 0 and ended["more"]["from_onsite"] > 0
    pid = main_pid(lab.rdv, MANAGER)
    lab.rdv.run(["systemctl", "restart", MANAGER])
    back(lab, pid)
    settled(lab, number, "session-opened", "session-up", "session-ended")


def test_a_device_s_reconnection_is_its_going_and_its_coming(lab: Lab) -> None:
    onsite = account(lab, 0)
    last = len(rows(lab, "--device", onsite))
    lab.onsite.run(["systemctl", "restart", "onsitedev"])
    wait_until(
        lambda: len(rows(lab, "--device", onsite)) >= last + 2, what="two more rows", deadline=30, every=0.2
    )
    went, came = rows(lab, "--device", onsite)[last:]
    assert (went["kind"], came["kind"]) == ("offline", "online")
    assert went["more"]["why"] and came["more"]["role"] == "onsite"


def test_without_room_for_the_audit_no_session_is_opened_and_devices_come_online(lab: Lab) -> None:
    """As on a full disk; when there is room again all that happened meanwhile is kept."""
    onsite, before, pid = account(lab, 0), rows(lab), main_pid(lab.rdv, MANAGER)
    # A file of this manager may not grow: writing fails as it does without room (EFBIG instead of ENOSPC).
    lab.rdv.run(["prlimit", f"--pid={pid}", "--fsize=1:"])
    try:
        lab.onsite.run(["systemctl", "restart", "onsitedev"])
        lab.wait_online(deadline=30)
        done = lab.master.run(["masterdev", "connect", onsite, "--detach"], check=False, deadline=60)
        assert done.code == SessionFailed.exit_code and "cannot record sessions now" in done.err
        status = json.loads(lab.rdv.run(["rdv-admin", "status", "--json"]).out)
        assert "audit" in [warning["key"] for warning in status["warnings"]]
        assert not listed(lab)
    finally:
        lab.rdv.run(["prlimit", f"--pid={pid}", "--fsize=unlimited:"])
    with session(lab.master, onsite, "L3"):
        pass
    after = rows(lab)[len(before) :]
    # The refusal may be written before what was kept.
    kinds = [row["kind"] for row in after][:3]
    assert kinds[0] == "offline" and sorted(kinds[1:]) == ["online", "session-refused"]


@pytest.mark.parametrize("user", ["rdv-shell", "rpi", "nobody"])
def test_who_is_not_root_neither_writes_nor_reads_it(lab: Lab, user: str) -> None:
    who = account(lab, 0) if user == "rpi" else user
    opened = (
        f"import sqlite3; print(sqlite3.connect('file:{STORE}', uri=True).execute('PRAGMA user_version'))"
    )
    for program in (
        ["cat", STORE],
        ["tee", "--append", STORE],
        ["ls", "/var/lib/rdv"],
        ["/usr/bin/python3", "-c", opened],
        ["rdv-admin", "audit"],
    ):
        done = lab.rdv.run(["runuser", "-u", who, "--", *program], check=False)
        assert done.code != 0 and not done.out.strip(), (who, program)
