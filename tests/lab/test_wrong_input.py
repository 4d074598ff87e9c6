"""Wrong input: each a line that says what to do, an exit code of its own, and nothing left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.lab.customer import make_key
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.process import Result
from tests.lab.test_sessions import account, listed, session
from tests.lab.topology import RDV_NAME
from tundev.states import State
from vtunlib.errors import (
    AuthenticationRefused,
    Busy,
    ConfigError,
    HostKeyMismatch,
    MissingProgram,
    NotOnline,
    RdvError,
    SessionFailed,
)

CONFIG = "/etc/tundev/tundev.toml"
ACL = "/etc/rdv/acl.toml"
VTUND = "/usr/sbin/vtund"


def refused(done: Result, error: type[RdvError], *words: str) -> None:
    """One line: what is wrong; what to do. And the error's exit code."""
    assert done.code == error.exit_code, done
    assert len(done.err.splitlines()) == 1, done.err
    for word in words:
        assert word in done.err


def connect(master: Machine, onsite: str, mode: str = "L3") -> Result:
    return master.run(["masterdev", "connect", onsite, "-m", mode, "--detach"], deadline=60, check=False)


def onsites(master: Machine) -> dict[str, dict[str, str]]:
    """What `masterdev list` shows, by account."""
    rows = json.loads(master.run(["masterdev", "list", "--json"]).out)
    return {row["id"]: row for row in rows}


def status(machine: Machine) -> dict[str, str]:
    """What `tundev-status` shows; empty where no agent runs."""
    text = machine.run(["tundev-status", "--json"], check=False).out
    told: dict[str, str] = json.loads(text or "{}")
    return told


def wait_connected(machine: Machine) -> None:
    wait_until(
        lambda: status(machine).get("state") == State.SSH_CONNECTION_OK,
        what=f"{machine.name} connected",
        every=0.2,
    )


@contextmanager
def stopped(machine: Machine, unit: str) -> Iterator[None]:
    """Without the device's service; afterwards it runs again and is connected."""
    machine.run(["systemctl", "stop", unit])
    try:
        yield
    finally:
        machine.run(["systemctl", "restart", unit])
        wait_connected(machine)


@contextmanager
def configured(machine: Machine, text: str) -> Iterator[None]:
    """With another text in the configuration file."""
    with machine.saying(text, CONFIG, mode=0o640):
        yield


@contextmanager
def without_vtund(machine: Machine) -> Iterator[None]:
    machine.run(["mv", VTUND, f"{VTUND}.away"])
    try:
        yield
    finally:
        machine.run(["mv", f"{VTUND}.away", VTUND])


@contextmanager
def access_list(rdv: Machine, text: str) -> Iterator[None]:
    """With other rules; those of the installation again afterwards."""
    former = rdv.run(["cat", ACL]).out
    write_rules(rdv, text)
    try:
        yield
    finally:
        write_rules(rdv, former)


def write_rules(rdv: Machine, text: str) -> None:
    """Returns once the manager has looked at them."""
    rdv.copy_in(text, ACL)
    rdv.run(["systemctl", "reload", "vtun-manager"])
    good = rdv.run(["rdv-admin", "acl", "check"], check=False).code == 0

    def looked() -> bool:
        shown = json.loads(rdv.run(["rdv-admin", "acl", "show", "--json"]).out)
        told = rdv.run(["rdv-admin", "acl", "check"], check=False).err
        return bool(shown["fault"]) != good and (not good or "other rules" not in told)

    wait_until(looked, what="the manager has looked at the rules", every=0.1)


def logins(lab: Lab, name: str) -> int:
    """How often the RDV has let that account in."""
    return lab.rdv.journal(lines=100_000).count(f"Accepted publickey for {name} ")


def test_an_unknown_account(lab: Lab) -> None:
    with stopped(lab.master, "masterdev"):
        done = lab.master.run(["masterdev", "-u", "rpi9999", "-R", RDV_NAME, "-l"], deadline=60, check=False)
        refused(done, AuthenticationRefused, "account rpi9999", "; compare 'tundev-status --key'")
        assert done.seconds < 20


def test_a_wrong_host_key_is_refused_and_not_learnt(lab: Lab, tmp_path: Path) -> None:
    name = lab.plan.desks[0].account
    former = lab.master.run(["cat", CONFIG]).out
    other = " ".join(make_key(tmp_path / "other").split()[:2])
    text, found = re.subn(r"(?m)^host_key\s*=.*$", f'host_key = "{other}"', former)
    assert found == 1
    with ExitStack() as stack:
        stack.enter_context(stopped(lab.master, "masterdev"))
        before = logins(lab, name)
        stack.enter_context(configured(lab.master, text))
        for _ in range(2):
            argv = ["masterdev", "-u", name, "-R", RDV_NAME, "-l"]
            done = lab.master.run(argv, deadline=60, check=False)
            refused(done, HostKeyMismatch, "does not hold the pinned host key; compare host_key")
            assert done.seconds < 20
        assert logins(lab, name) == before
        assert lab.master.run(["test", "-e", "/root/.ssh/known_hosts"], check=False).code == 1
        assert other in lab.master.run(["cat", "/run/tundev/known_hosts"]).out


def test_a_service_with_a_wrong_host_key_says_so_in_its_status(lab: Lab, tmp_path: Path) -> None:
    onsite = lab.onsites[1]
    other = " ".join(make_key(tmp_path / "other").split()[:2])
    text = re.sub(r"(?m)^host_key\s*=.*$", f'host_key = "{other}"', onsite.run(["cat", CONFIG]).out)
    with ExitStack() as stack:
        stack.enter_context(stopped(onsite, "onsitedev"))
        stack.enter_context(configured(onsite, text))
        onsite.run(["systemctl", "start", "onsitedev"])
        wait_until(
            lambda: status(onsite).get("failure_class") == "HostKeyMismatch", what="the failure", every=0.2
        )
        assert status(onsite)["state"] != State.SSH_CONNECTION_OK
        assert "compare host_key in" in onsite.run(["tundev-status"]).out


def test_an_unknown_onsite(lab: Lab) -> None:
    refused(connect(lab.master, "rpi9999"), NotOnline, "rpi9999 is not online; ")
    assert listed(lab) == []


def test_a_master_is_no_onsite(lab: Lab) -> None:
    refused(connect(lab.master, lab.plan.desks[1].account), NotOnline, "is not online; ")


def test_a_busy_onsite(lab: Lab) -> None:
    name, holder = account(lab, 0), lab.plan.desks[1].account
    with session(lab.masters[1], name, "L3"):
        refused(connect(lab.master, name), Busy, f"{name} is in a session with {holder}; ")
        assert [row["state"] for row in listed(lab)] == ["up"]


def test_a_busy_master(lab: Lab) -> None:
    with session(lab.master, account(lab, 0), "L3"):
        refused(connect(lab.master, account(lab, 1)), Busy, "; masterdev disconnect ends it")
        assert [row["state"] for row in listed(lab)] == ["up"]


def test_a_master_that_is_not_allowed(lab: Lab) -> None:
    other = lab.plan.desks[1].account
    with access_list(lab.rdv, f'[[rule]]\nmaster = "{other}"\nonsite = "*"\n'):
        # As one that does not exist: a master does not learn what is not for it.
        refused(connect(lab.master, account(lab, 0)), NotOnline, f"{account(lab, 0)} is not online; ")
        assert onsites(lab.master) == {}
        assert set(onsites(lab.masters[1])) == {account(lab, 0), account(lab, 1)}
    assert set(onsites(lab.master)) == {account(lab, 0), account(lab, 1)}


@pytest.mark.parametrize("text", ["[[rule]\n", '[[rule]]\nmaster = "*"\n'], ids=["no-toml", "a-key-missing"])
def test_a_malformed_access_list_changes_nothing_and_is_told(lab: Lab, text: str) -> None:
    only = f'[[rule]]\nmaster = "{lab.plan.desks[1].account}"\nonsite = "*"\n'
    with access_list(lab.rdv, only), access_list(lab.rdv, text):
        refused(connect(lab.master, account(lab, 0)), NotOnline, "is not online; ")
        assert set(onsites(lab.masters[1])) == {account(lab, 0), account(lab, 1)}
        refused(lab.rdv.run(["rdv-admin", "acl", "check"], check=False), ConfigError, ACL)
        assert "the rules of before stay in force" in lab.rdv.journal("vtun-manager.service", lines=20)


MALFORMED = {
    "no-toml": ("[rdv\n", "not TOML"),
    "unknown-key": (
        '[rdv]\nserver = "rdv.example.com"\ncolour = "red"\n',
        "line 3: [rdv] colour: is unknown",
    ),
    "wrong-value": ("[rdv]\nserver = 5\n", "line 2: [rdv] server: expected"),
    "unknown-table": ("[rvd]\n", "rvd: is unknown; expected one of"),
    "no-host-key": ('[rdv]\nserver = "rdv.example.com"\naccount = "rpi1101"\n', "host_key is missing"),
    "empty": ("", "[rdv] is missing; expected"),
}


@pytest.mark.parametrize("kind", list(MALFORMED))
def test_a_malformed_configuration_file(lab: Lab, kind: str) -> None:
    text, words = MALFORMED[kind]
    with configured(lab.master, text):
        argv = ["masterdev", "-u", "rpi1201", "-R", RDV_NAME, "-l"]
        refused(lab.master.run(argv, check=False), ConfigError, CONFIG, words)
    with configured(lab.onsites[1], text):
        refused(lab.onsites[1].run(["onsitedev"], check=False), ConfigError, CONFIG, words)


def test_a_service_with_a_malformed_configuration_file_stays_down_and_says_why(lab: Lab) -> None:
    onsite = lab.onsites[1]
    with ExitStack() as stack:
        stack.enter_context(stopped(onsite, "onsitedev"))
        stack.enter_context(configured(onsite, "[rdv]\nserver = 5\n"))
        assert onsite.run(["systemctl", "start", "onsitedev"], check=False).code != 0
        shown = onsite.run(["systemctl", "show", "-p", "ActiveState,ExecMainStatus", "onsitedev"])
        assert set(shown.out.split()) == {"ActiveState=failed", f"ExecMainStatus={ConfigError.exit_code}"}
        assert f"{CONFIG}, line 2: [rdv] server: expected" in onsite.journal("onsitedev.service", lines=20)


def test_no_vtund_on_the_master(lab: Lab) -> None:
    with without_vtund(lab.master):
        refused(connect(lab.master, account(lab, 0)), MissingProgram, "this device; apt install vtun")
        assert listed(lab) == []


def test_no_vtund_on_the_onsite(lab: Lab) -> None:
    with without_vtund(lab.onsite):
        done = connect(lab.master, account(lab, 0))
        refused(done, SessionFailed, "onsite", "vtund is not installed", "install vtun")
        wait_until(lambda: listed(lab) == [], what="no session")


def test_no_vtund_on_the_rdv(lab: Lab) -> None:
    with without_vtund(lab.rdv):
        done = connect(lab.master, account(lab, 0))
        refused(done, MissingProgram, "on the RDV; its admin installs the package vtun")
        assert listed(lab) == []
