"""Who may reach whom, as the admin, the technician and the laptop see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.process import Result
from tests.lab.test_sessions import account, listed
from tests.lab.test_wrong_input import ACL, access_list, connect, onsites, refused, write_rules
from tests.lab.topology import CAMERA, CUSTOMER_LAN
from vtunlib.errors import ConfigError, NotAllowed, NotOnline


def rule(lab: Lab, onsite: str, *lines: str) -> str:
    """One for the first desk."""
    desk = lab.plan.desks[0].account
    return "\n".join(["[[rule]]", f'master = "{desk}"', f'onsite = "{onsite}"', *lines, ""])


@contextmanager
def session_of(lab: Lab, mode: str, *words: str) -> Iterator[None]:
    """The first desk's with the first site."""
    argv = ["masterdev", "connect", account(lab, 0), "-m", mode, "--detach", *words]
    lab.master.run(argv, deadline=60)
    try:
        yield
    finally:
        lab.master.run(["masterdev", "disconnect"], check=False)


def only_port_80(lab: Lab) -> None:
    laptop = lab.laptop
    assert laptop.fetch(f"http://{CAMERA}/").out == lab.camera.page()
    assert laptop.ssh(str(CAMERA)).code != 0
    assert laptop.ping(str(CAMERA), wait=1).code != 0


def ask(lab: Lab, *words: str) -> Result:
    return lab.rdv.run(["rdv-admin", "acl", *words], check=False)


def told(lab: Lab, words: str) -> None:
    """Until the first master's session is over, and it knows this reason."""
    wait_until(lambda: not listed(lab), what="the session's end", deadline=30, every=0.2)
    wait_until(
        lambda: words in lab.master.run(["masterdev", "status"], check=False).out,
        what=f"the master knows why: {words}",
        every=0.2,
    )


def test_a_rule_says_who_is_seen_in_which_mode_how_far_and_with_what_reason(lab: Lab) -> None:
    desk, site, other = lab.plan.desks[0].account, account(lab, 0), account(lab, 1)
    camera = f'reach = ["{CAMERA} 80/tcp"]'
    rules = rule(lab, site, 'name = "camera"', 'mode = "L3"', "require_reason = true", camera)
    with access_list(lab.rdv, rules):
        assert set(onsites(lab.master)) == {site}
        missing = connect(lab.master, "rpi9999")
        refused(connect(lab.master, other), NotOnline, missing.err.strip().replace("rpi9999", other))
        refused(connect(lab.master, site, "L2"), NotAllowed, "in mode L2", "it may in L3")
        refused(connect(lab.master, site), NotAllowed, '--reason "ticket 4711"')

        assert ask(lab, "check").code == 0
        yes = ask(lab, "check", desk, site, "--mode", "L3")
        assert yes.code == 0 and "by rule 1 (camera), line 1" in yes.out and "with a reason" in yes.out
        for words in ((desk, site, "--mode", "L2"), (desk, other)):
            assert ask(lab, "check", *words).code == NotAllowed.exit_code

        with session_of(lab, "L3", "--reason", "ticket 4711"):
            lab.laptop.dhcp()
            only_port_80(lab)
            (row,) = listed(lab)
            assert (row["rule"], row["reach"], row["state"]) == ("camera", f"{CAMERA} 80/tcp", "up")
            # The technician is told too.
            status = json.loads(lab.master.run(["masterdev", "status", "--json"]).out)
            assert status["reach"] == f"{CAMERA} 80/tcp"

            # A file with a fault changes nothing, also for the next manager.
            write_rules(lab.rdv, rules.replace("require_reason = true", 'require_reason = "yes"'))
            refused(ask(lab, "check"), ConfigError, f"{ACL}:6: require_reason; expected true or false")
            lab.rdv.run(["systemctl", "restart", "vtun-manager"])
            lab.wait_online()
            assert [row["state"] for row in listed(lab)] == ["up"]
            assert set(onsites(lab.master)) == {site}
            shown = json.loads(ask(lab, "show", "--json").out)
            assert shown["fault"].endswith("stay in force") and shown["rules"][0]["name"] == "camera"
            only_port_80(lab)

            # One that lets it reach something else ends it, and says so.
            write_rules(lab.rdv, rules.replace(camera, 'reach = "lan"'))
            told(lab, "what may be reached has changed")


def test_in_l2_the_reach_holds_too_and_the_end_of_the_hours_ends_the_session(lab: Lab) -> None:
    site = account(lab, 0)
    clock = datetime.fromisoformat(lab.rdv.run(["date", "--iso-8601=seconds"]).out.strip())
    begin, end = (f"{clock + timedelta(seconds=s):%H:%M:%S}" for s in (-3600, 20))
    camera = f'reach = ["{CAMERA} 80/tcp"]'
    with access_list(lab.rdv, rule(lab, site, camera, f'hours = "{begin}-{end}"')):
        with session_of(lab, "L2"):
            assert lab.laptop.dhcp().address.network == CUSTOMER_LAN
            only_port_80(lab)
            told(lab, "its hours are over")
        refused(connect(lab.master, site), NotAllowed, f"at this hour; it may {begin}-{end}")
        assert onsites(lab.master) == {}


def test_a_device_s_group_counts_as_soon_as_its_file_is_written(lab: Lab) -> None:
    site = account(lab, 1)
    path = f"/etc/rdv/devices.d/{site}.toml"
    former = lab.rdv.run(["cat", path]).out
    with access_list(lab.rdv, rule(lab, "group:plant")):
        assert onsites(lab.master) == {}
        with lab.rdv.saying(f'{former}groups = ["plant"]\n', path):
            wait_until(lambda: set(onsites(lab.master)) == {site}, what="the onsite is shown", every=0.1)
        wait_until(lambda: onsites(lab.master) == {}, what="the onsite is not shown", every=0.1)
