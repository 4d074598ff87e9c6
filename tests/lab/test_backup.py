"""Backup on one RDV, restore on another: the devices come back without being touched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from tests.lab import config
from tests.lab.lab import UPLINK, Lab
from tests.lab.machine import Machine
from tests.lab.test_sessions import account, session
from tests.lab.topology import CAMERA, RDV, topology
from vtunlib.errors import AlreadyExists, ConfigError

FILE = "/root/rdv.backup"
SPARE = IPv4Interface((RDV.ip + 1, RDV.network.prefixlen))


@pytest.fixture(scope="module")
def own_lab() -> Iterator[Lab]:
    """A lab of this test's own: its RDV moves to another host and does not come back."""
    with Lab(topology(), name=f"{os.environ.get('LAB_NAME', 'test')[:12]}move") as lab:
        lab.up()
        yield lab


def carry(source: Machine, target: Machine, file: str = FILE) -> None:
    """Copy a file from one running machine to another, as scp or a USB stick would."""
    roots = [Path(f"/proc/{machine.leader}/root{file}") for machine in (source, target)]
    roots[1].write_bytes(roots[0].read_bytes())
    roots[1].chmod(0o600)


def identity(rdv: Machine) -> list[str]:
    """By what devices know it: its host key, its CA."""
    return [rdv.run(["cat", f"/etc/rdv/{name}"]).out for name in ("ssh_host_ed25519_key.pub", "tls/ca.crt")]


def test_a_new_host_with_the_backup_is_the_rdv(own_lab: Lab) -> None:
    lab, onsite = own_lab, account(own_lab, 0)
    old, new = lab.rdv, lab.another_rdv("rdvnew", SPARE)
    with session(lab.master, onsite, "L3"):
        # Nobody notices a backup.
        assert "2 devices" in old.run(["rdv-admin", "backup", FILE]).out
        lab.laptop.dhcp()
        assert lab.laptop.ping(str(CAMERA)).code == 0
    assert old.run(["stat", "-c", "%a %U", FILE]).out == "600 root\n"
    was, fresh = identity(old), identity(new)
    assert not set(was) & set(fresh)
    carry(old, new)
    assert "2 devices" in new.run(["rdv-admin", "restore", FILE], deadline=90).out
    assert identity(new) == was
    # What happened is known on, also that of the other host.
    kinds = [event["kind"] for event in json.loads(new.run(["rdv-admin", "audit", "--json"]).out)]
    assert {"enrolled", "session-up"} <= set(kinds[: kinds.index("restored")])
    assert not new.failed_units()

    old.stop()
    config.static_address(new, UPLINK, RDV)
    for words in (["reload"], ["up", "uplink"]):
        new.run(["nmcli", "connection", *words])
    lab.rdv = new
    lab.wait_online(deadline=120)
    with session(lab.master, onsite, "L3") as told:
        assert "round-trip time" in told
        lab.laptop.dhcp()
        assert lab.laptop.fetch(f"http://{CAMERA}/").out == lab.camera.page()

    # The same again changes nothing, not even a connection.
    before = new.run(["rdv-admin", "device", "list", "--json"]).out
    assert "already" in new.run(["rdv-admin", "restore", FILE]).out
    assert json.loads(new.run(["rdv-admin", "device", "list", "--json"]).out) == json.loads(before)


def test_a_restore_that_would_lose_something_is_refused(own_lab: Lab) -> None:
    rdv = own_lab.rdv
    rdv.run(["rdv-admin", "backup", FILE])
    rdv.run(["rdv-admin", "device", "add", "rpi1900", "--role", "onsite"])
    refused = rdv.run(["rdv-admin", "restore", FILE], check=False)
    assert refused.code == AlreadyExists.exit_code
    assert "rpi1900.toml" in refused.err and "--force" in refused.err
    assert "rpi1900" in rdv.run(["rdv-admin", "device", "list"]).out
    damaged = rdv.run(["bash", "-c", f"head -c -300 {FILE} | rdv-admin restore - --force"], check=False)
    assert damaged.code == ConfigError.exit_code, damaged.err
    assert "rpi1900" in rdv.run(["rdv-admin", "device", "list"]).out
    own_lab.wait_online()

    told = rdv.run(["rdv-admin", "restore", FILE, "--force"], deadline=90).out
    assert "rpi1900: removed" in told
    assert rdv.run(["getent", "passwd", "rpi1900"], check=False).code != 0
    own_lab.wait_online(deadline=120)


def test_a_name_that_somebody_else_has_here_is_found_before_anything_changes(own_lab: Lab) -> None:
    rdv = own_lab.rdv
    rdv.run(["rdv-admin", "device", "add", "rpi1901", "--role", "onsite"])
    rdv.run(["rdv-admin", "backup", FILE])
    rdv.run(["rdv-admin", "device", "remove", "rpi1901"])
    rdv.run(["useradd", "rpi1901"])
    refused = rdv.run(["rdv-admin", "restore", FILE, "--force"], check=False)
    assert refused.code == AlreadyExists.exit_code and "rpi1901 that is no device" in refused.err
    assert own_lab.online() == {own_lab.plan.sites[0].account, own_lab.plan.desks[0].account}
    rdv.run(["userdel", "rpi1901"])


def test_an_interrupted_restore_says_so_until_it_was_finished(own_lab: Lab) -> None:
    rdv = own_lab.rdv
    rdv.run(["rdv-admin", "backup", FILE])
    rdv.run(["rdv-admin", "device", "add", "rpi1900", "--role", "onsite"])
    # Files cannot be moved into another mount: that fails in the middle of it.
    rdv.run(["mount", "--bind", "/etc/rdv/keys", "/etc/rdv/keys"])
    failed = rdv.run(["rdv-admin", "restore", FILE, "--force"], check=False, deadline=90)
    assert failed.code == 1 and "THE RESTORE IS NOT COMPLETE" in failed.err and "keys" in failed.err
    assert "a restore was interrupted" in rdv.run(["rdv-admin", "device", "list"]).err
    rdv.run(["umount", "/etc/rdv/keys"])
    assert "restored" in rdv.run(["rdv-admin", "restore", FILE], deadline=90).out
    assert not rdv.run(["rdv-admin", "session", "list"]).err
    own_lab.wait_online(deadline=120)
