"""Enrolment: a device gets its identity from its bundle, and nobody carries a key.

Every device of the lab has come online that way. In these tests the second onsite is
flashed anew: its key is wiped, and another bundle put on it.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.test_sessions import account
from tests.lab.test_wrong_input import CONFIG, status
from tests.lab.topology import RDV_NAME
from tundev.states import State

KEY = "/etc/tundev/id_ed25519"
REFUSED = "the one-time key of this device was used, replaced or has expired"
SSH = "/usr/local/bin/ssh"


def shown(lab: Lab, name: str) -> dict[str, Any]:
    """What `rdv-admin device show` says."""
    row: dict[str, Any] = json.loads(lab.rdv.run(["rdv-admin", "device", "show", name, "--json"]).out)
    return row


def audit(lab: Lab, name: str, kind: str) -> list[dict[str, Any]]:
    """What the audit has of that kind, the oldest first."""
    script = (
        "import json; from rdv.audit.store import Store\n"
        f"for event in Store(read_only=True).read(device={name!r}):\n"
        f"    if event.kind == {kind!r}: print(json.dumps(dict(event.more)))"
    )
    return [json.loads(line) for line in lab.rdv.run(["python3", "-c", script]).out.splitlines()]


def re_enrol(lab: Lab, name: str, *words: str) -> str:
    """A new bundle's text."""
    file = f"/root/{name}.toml"
    argv = ["rdv-admin", "device", "re-enrol", name, "--server", RDV_NAME, "--bundle", file, *words]
    lab.rdv.run(argv)
    return lab.rdv.run(["cat", file]).out


@contextmanager
def flashed(machine: Machine, bundle: str) -> Iterator[None]:
    """The device as after a new image: without its key, with that bundle, and started."""
    machine.run(["systemctl", "stop", "onsitedev"])
    machine.run(["rm", "-f", KEY, f"{KEY}.pub"])
    machine.copy_in(bundle, CONFIG, mode=0o640)
    machine.run(["chown", "root:tundev", CONFIG])
    machine.run(["systemctl", "start", "onsitedev"])
    yield


def public_key(machine: Machine) -> str:
    return " ".join(machine.run(["cat", f"{KEY}.pub"]).out.split()[:2])


def wait_refused(machine: Machine) -> None:
    wait_until(lambda: REFUSED in status(machine).get("failure", ""), what="the refusal shown", every=0.2)


@pytest.fixture
def onsite(lab: Lab) -> Iterator[Machine]:
    """The second customer's; afterwards it is online with a key of its own, whatever was done to it."""
    machine, name = lab.onsites[1], account(lab, 1)
    yield machine
    machine.run(["rm", "-f", SSH])
    if name not in lab.online():
        with flashed(machine, re_enrol(lab, name)):
            lab.wait_online([name])


def test_every_device_came_online_by_its_bundle_alone(lab: Lab) -> None:
    accounts = [owner.account for owner in lab.plan.sites] + [owner.account for owner in lab.plan.desks]
    for machine, name in zip([*lab.onsites, *lab.masters], accounts, strict=True):
        row = shown(lab, name)
        assert row["enrolment"] == "enrolled" and row["one_time_until"] is None
        assert row["key"] == public_key(machine)
        # The rest of the file is as the bundle was, and its mode and owner too.
        assert "enrol_key" not in tomllib.loads(machine.run(["cat", CONFIG]).out)["rdv"]
        assert machine.run(["stat", "-c", "%a %U:%G", CONFIG]).out == "640 root:tundev\n"
        assert machine.run(["test", "-e", "/run/tundev/enrol_key"], check=False).code == 1
        assert audit(lab, name, "bundle-issued")
        assert audit(lab, name, "enrolled")


def test_the_same_add_again_changes_nothing(lab: Lab) -> None:
    rdv, name = lab.rdv, "rpi1999"
    add = ["rdv-admin", "device", "add", name, "--role", "onsite", "--location", "cellar", "--group", "east"]
    bundle = ["--server", RDV_NAME, "--bundle", f"/root/{name}.toml"]
    files = ["sha256sum", f"/root/{name}.toml", f"/etc/rdv/keys/{name}", f"/etc/rdv/devices.d/{name}.toml"]
    try:
        first = rdv.run([*add, *bundle])
        assert "can enrol as rpi1999, once, until" in first.out
        before = rdv.run(files).out
        assert "good until" in rdv.run([*add, *bundle]).out
        assert rdv.run(files).out == before
        assert rdv.run(["stat", "-c", "%a", f"/root/{name}.toml"]).out == "600\n"
        assert shown(lab, name)["enrolment"] == "waiting" and shown(lab, name)["groups"] == ["east"]
        # Another device's bundle is not written over.
        other = rdv.run(["rdv-admin", "device", "re-enrol", account(lab, 0), *bundle], check=False)
        assert other.code == 15 and "is no bundle of" in other.err
        assert rdv.run(files).out == before
    finally:
        rdv.run(["rdv-admin", "device", "remove", name])
        rdv.run(["rm", "-f", f"/root/{name}.toml"])


def test_a_flashed_device_is_online_with_its_new_key_and_only_that(lab: Lab, onsite: Machine) -> None:
    name = account(lab, 1)
    former = public_key(onsite)
    bundle = re_enrol(lab, name)
    # The device's present key is good until the bundle is used.
    assert shown(lab, name)["key"] == former and name in lab.online()
    with flashed(onsite, bundle):
        wait_until(lambda: shown(lab, name)["key"] == public_key(onsite) != former, what="the new key")
        lab.wait_online([name])
    assert "enrol_key" not in onsite.run(["cat", CONFIG]).out
    assert lab.rdv.run(["grep", "-c", "", f"/etc/rdv/keys/{name}"]).out == "1\n"

    # The same bundle on another box: a second use.
    with flashed(onsite, bundle):
        wait_refused(onsite)
        assert status(onsite)["state"] != State.SSH_CONNECTION_OK
        assert (
            f"ask the RDV's admin for 'rdv-admin device re-enrol {name}'" in onsite.run(["tundev-status"]).out
        )
        # What is refused stays in the file: the admin may have made a mistake.
        assert "enrol_key" in onsite.run(["cat", CONFIG]).out


def test_a_replaced_bundle_and_an_expired_one_are_refused(lab: Lab, onsite: Machine) -> None:
    name = account(lab, 1)
    replaced, present = re_enrol(lab, name, "--now"), re_enrol(lab, name)
    wait_until(lambda: name not in lab.online(), what="cut off by --now")
    with flashed(onsite, replaced):
        wait_refused(onsite)
    expire(lab, name)
    assert shown(lab, name)["enrolment"] == "expired"
    with flashed(onsite, present):
        wait_refused(onsite)
    assert shown(lab, name)["key"] == ""


def expire(lab: Lab, name: str) -> None:
    """Let the time of the device's one-time key be over since a second."""
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    file = f"/etc/rdv/keys/{name}"
    lab.rdv.run(["sed", "-i", f's/expiry-time="[^"]*"/expiry-time="{past:%Y%m%d%H%M%SZ}"/', file])


def test_an_answer_lost_on_the_way_is_no_second_use(lab: Lab, onsite: Machine) -> None:
    name = account(lab, 1)
    bundle = re_enrol(lab, name, "--now")
    before = len(audit(lab, name, "enrolled"))
    # The RDV has written the key and says so; the device never hears of it.
    lost = '#!/bin/sh\ncase "$*" in\n*/enrol_key*) /usr/bin/ssh "$@" >/dev/null; exit 255 ;;\nesac\n'
    onsite.copy_in(f'{lost}exec /usr/bin/ssh "$@"\n', SSH, mode=0o755)
    with flashed(onsite, bundle):
        lab.wait_online([name])
    journal = onsite.journal("onsitedev.service", lines=30)
    assert "closed the connection during the enrolment" in journal
    assert len(audit(lab, name, "enrolled")) == before + 1
    assert "enrol_key" not in onsite.run(["cat", CONFIG]).out
