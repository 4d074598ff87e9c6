"""Enrolment: a device gets its identity from its bundle, and nobody carries a key.

Every device of the lab has come online that way. In these tests the second onsite is
flashed anew: its key is wiped, and another bundle put on it.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.test_sessions import account
from tests.lab.test_wrong_input import CONFIG, configured, status
from tests.lab.topology import RDV_NAME
from tundev.states import State

KEY = "/etc/tundev/id_ed25519"
REFUSED = "the one-time key of this device was used, replaced or has expired"
COPY = "/tmp/copy-of-the-key"
SSH = "/usr/local/bin/ssh"


def shown(lab: Lab, name: str) -> dict[str, Any]:
    """What `rdv-admin device show` says."""
    row: dict[str, Any] = json.loads(lab.rdv.run(["rdv-admin", "device", "show", name, "--json"]).out)
    return row


def audit(lab: Lab, name: str, kind: str) -> list[dict[str, Any]]:
    """What the audit has of that kind, the oldest first."""
    argv = ["rdv-admin", "audit", "--device", name, "--kind", kind, "--json"]
    return [row["more"] for row in json.loads(lab.rdv.run(argv).out)]


def wait_audited(lab: Lab, name: str, kind: str, **more: str) -> None:
    """Until the audit has an event of that kind in which these texts are."""
    wait_until(
        lambda: any(
            all(text in str(event.get(key, "")) for key, text in more.items())
            for event in audit(lab, name, kind)
        ),
        what=f"{kind} of {name} with {more}",
        every=0.5,
    )


def re_enrol(lab: Lab, name: str, *words: str) -> str:
    """A new bundle's text."""
    file = f"/root/{name}.toml"
    argv = ["rdv-admin", "device", "re-enrol", name, "--server", RDV_NAME, "--bundle", file, *words]
    lab.rdv.run(argv)
    return lab.rdv.run(["cat", file]).out


def flash(machine: Machine, bundle: str, *, start: bool = True) -> None:
    """Make the device as after a new image: without its key, with that bundle; and start it."""
    machine.run(["systemctl", "stop", "onsitedev"])
    machine.run(["rm", "-f", KEY, f"{KEY}.pub"])
    machine.copy_in(bundle, CONFIG, mode=0o640)
    machine.run(["chown", "root:tundev", CONFIG])
    if start:
        machine.run(["systemctl", "start", "onsitedev"])


def ssh(key: str) -> list[str]:
    """A login to the RDV with that key, as somebody does who has copied it; the account is to follow."""
    options = ["UserKnownHostsFile=/run/tundev/known_hosts", "HostKeyAlias=rdv", "BatchMode=yes"]
    return ["ssh", "-F", "none", "-p", "2222", "-i", key, *(w for option in options for w in ("-o", option))]


def public_key(machine: Machine) -> str:
    return " ".join(machine.run(["cat", f"{KEY}.pub"]).out.split()[:2])


def wait_refused(machine: Machine) -> None:
    wait_until(lambda: REFUSED in status(machine).get("failure", ""), what="the refusal shown", every=0.2)


@pytest.fixture
def onsite(lab: Lab) -> Iterator[Machine]:
    """The second customer's; afterwards it is online with a key of its own, whatever was done to it."""
    machine, name = lab.onsites[1], account(lab, 1)
    yield machine
    machine.run(["rm", "-f", SSH, COPY])
    if name not in lab.online():
        flash(machine, re_enrol(lab, name))
        lab.wait_online([name])


def test_every_device_came_online_by_its_bundle_alone(lab: Lab) -> None:
    where = {site.account: site.lan.name for site in lab.plan.sites}
    where |= {desk.account: desk.lan.name for desk in lab.plan.desks}
    for machine, name in zip([*lab.onsites, *lab.masters], where, strict=True):
        row = shown(lab, name)
        assert row["enrolment"] == "enrolled" and row["one_time_until"] is None
        assert row["key"] == public_key(machine)
        # The rest of the file is as the bundle was, and its mode and owner too.
        assert "enrol_key" not in tomllib.loads(machine.run(["cat", CONFIG]).out)["rdv"]
        assert machine.run(["stat", "-c", "%a %U:%G", CONFIG]).out == "640 root:tundev\n"
        assert machine.run(["test", "-e", "/run/tundev/enrol_key"], check=False).code == 1
        assert audit(lab, name, "bundle-issued")
        public = str(next(lan.public for lan in lab.plan.lans if lan.name == where[name]))
        for row in (audit(lab, name, "enrolled")[0], shown(lab, name)):
            assert (row["address"], row["transport"]) == (public, "ssh")
        # Each tried its own key first, which nobody knew yet: that is no refusal.
        # That another test had a device disabled or removed is said first in its refusals.
        own = audit(lab, name, "enrolled")[0]["fingerprint"]
        refused = [row["why"] for row in audit(lab, name, "refused") if row.get("fingerprint") == own]
        assert [why for why in refused if not why.startswith("the device ")] == []


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
    onsite.run(["install", "-m", "600", KEY, COPY])
    with onsite.start([*ssh(COPY), "-v", "-N", f"{name}@{RDV_NAME}"]) as thief:
        thief.wait_line("Entering interactive session")
        flash(onsite, bundle)
        wait_until(lambda: shown(lab, name)["key"] == public_key(onsite) != former, what="the new key")
        # Who was logged in with the former key is not any more.
        assert thief.wait() == 255
    assert onsite.run([*ssh(COPY), f"{name}@{RDV_NAME}"], check=False).code == 255
    lab.wait_online([name])
    assert "enrol_key" not in onsite.run(["cat", CONFIG]).out
    assert lab.rdv.run(["grep", "-c", "", f"/etc/rdv/keys/{name}"]).out == "1\n"

    # The same bundle on another box: a second use.
    flash(onsite, bundle)
    wait_refused(onsite)
    assert status(onsite)["state"] != State.SSH_CONNECTION_OK
    assert f"ask the RDV's admin for 'rdv-admin device re-enrol {name}'" in onsite.run(["tundev-status"]).out
    wait_audited(
        lab,
        name,
        "refused",
        why="a one-time key that was used already",
        address=str(lab.plan.sites[1].lan.public),
    )
    # What is refused stays in the file: the admin may have made a mistake.
    assert "enrol_key" in onsite.run(["cat", CONFIG]).out


def test_a_replaced_bundle_and_an_expired_one_are_refused(lab: Lab, onsite: Machine) -> None:
    name = account(lab, 1)
    replaced, present = re_enrol(lab, name, "--now"), re_enrol(lab, name)
    wait_until(lambda: name not in lab.online(), what="cut off by --now")
    flash(onsite, replaced)
    wait_refused(onsite)
    wait_audited(lab, name, "refused", why="a one-time key that a newer bundle replaced")
    wait_audited(lab, name, "refused", why="a key that is not this device's")
    expire(lab, name)
    assert shown(lab, name)["enrolment"] == "expired"
    flash(onsite, present)
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
    flash(onsite, bundle)
    lab.wait_online([name])
    journal = onsite.journal("onsitedev.service", lines=30)
    assert "closed the connection during the enrolment" in journal
    assert len(audit(lab, name, "enrolled")) == before + 1
    assert "enrol_key" not in onsite.run(["cat", CONFIG]).out


def test_a_removed_device_s_key_is_refused_and_that_is_on_record(lab: Lab, onsite: Machine) -> None:
    name, key = "rpi1998", "/tmp/removed"
    onsite.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    try:
        add = ["rdv-admin", "device", "add", name, "--role", "onsite", "--key"]
        lab.rdv.run([*add, onsite.run(["cat", f"{key}.pub"]).out.strip()])
        lab.rdv.run(["rdv-admin", "device", "remove", name])
        # Nobody listens at that moment: the next manager hears of it.
        lab.rdv.run(["systemctl", "stop", "vtun-manager"])
        done = onsite.run([*ssh(key), f"{name}@{RDV_NAME}"], check=False)
        assert done.code == 255 and "Permission denied" in done.err
        lab.rdv.run(["systemctl", "start", "vtun-manager"])
        wait_audited(lab, name, "refused", why="the device was removed on")
    finally:
        lab.rdv.run(["systemctl", "start", "vtun-manager"])
        onsite.run(["rm", "-f", key, f"{key}.pub"])


def test_behind_stunnel_a_device_s_own_address_is_known(lab: Lab, onsite: Machine) -> None:
    name, text = account(lab, 1), onsite.run(["cat", CONFIG]).out
    with configured(onsite, text.replace("[rdv]\n", '[rdv]\ntransport = "tls"\n', 1)):
        onsite.run(["systemctl", "restart", "onsitedev"])
        wait_until(lambda: shown(lab, name).get("transport") == "tls", what="online by TLS", every=0.3)
        assert shown(lab, name)["address"] == str(lab.plan.sites[1].lan.public)
        # So it stays over a restart of the manager, which reads it back.
        lab.rdv.run(["systemctl", "restart", "vtun-manager"])
        lab.wait_online([name])
        assert shown(lab, name)["address"] == str(lab.plan.sites[1].lan.public)
        online = audit(lab, name, "online")[-1]
        assert (online["address"], online["transport"]) == (shown(lab, name)["address"], "tls")
    onsite.run(["systemctl", "restart", "onsitedev"])
    wait_until(lambda: shown(lab, name).get("transport") == "ssh", what="online by SSH again", every=0.3)


def test_two_machines_with_one_identity_are_reported_with_both_addresses(lab: Lab, onsite: Machine) -> None:
    other, name = lab.onsite, account(lab, 1)
    files = (CONFIG, KEY, f"{KEY}.pub")
    kept = {file: other.run(["cat", file]).out for file in files}
    other.run(["systemctl", "stop", "onsitedev"])
    for file in files:
        other.run(["tee", file], stdin=onsite.run(["cat", file]).out)
    try:
        other.run(["systemctl", "start", "onsitedev"])
        addresses = sorted(str(site.lan.public) for site in lab.plan.sites)
        wait_until(lambda: audit(lab, name, "clone"), what="the clone reported", deadline=120, every=1)
        assert audit(lab, name, "clone")[0]["addresses"] == addresses
        assert f"two devices use the identity of {name}" in lab.rdv.run(["rdv-admin", "status"]).out
        bundle = re_enrol(lab, name, "--now")
        assert f"the identity of {name}" not in lab.rdv.run(["rdv-admin", "status"]).out
    finally:
        other.run(["systemctl", "stop", "onsitedev"])
        for file, text in kept.items():
            other.run(["tee", file], stdin=text)
        other.run(["systemctl", "start", "onsitedev"])
    flash(onsite, bundle)
    lab.wait_online()
