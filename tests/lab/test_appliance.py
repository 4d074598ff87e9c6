"""A device as its card makes it: flashed, its file copied onto the boot partition, switched on."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import packages
from tests.lab.appliance import Appliance
from tests.lab.clean import remove_host
from tests.lab.customer import make_key
from tests.lab.host import wait_until
from tests.lab.lab import UPLINK, Lab
from tests.lab.process import run
from tests.lab.roles import DIST, Role, newest
from tests.lab.test_hardening import OTHERS, exposure
from tests.lab.test_sessions import session
from tests.lab.topology import RDV_NAME
from tundev.appliance.upgrade import BOOTS

ACCOUNT = "rpi1190"
CUSTOMER = "customer1"


@pytest.fixture(scope="module")
def installed(whole_lab: Lab) -> Iterator[Appliance]:
    """An appliance at the first customer's, switched off, with nothing on its card."""
    machine = Appliance(whole_lab.place, "appliance", whole_lab.layers_of(Role.ONSITE))
    machine.create()
    machine.port = whole_lab.switches[CUSTOMER].plug(machine, UPLINK)
    whole_lab.spares.append(machine)
    machine.install(DIST)
    yield machine
    machine.stop()
    whole_lab.spares.remove(machine)
    remove_host(machine)


@pytest.fixture
def appliance(lab: Lab, installed: Appliance) -> Iterator[Appliance]:
    """The same, and the RDV knows of it; its bundle is in /root there."""
    installed.flash()
    add = ["rdv-admin", "device", "add", ACCOUNT, "--role", "onsite", "--server", RDV_NAME]
    lab.rdv.run([*add, "--bundle", f"/root/{ACCOUNT}.toml"])
    yield installed
    try:
        installed.stop()
    finally:
        lab.switches[CUSTOMER].ip(f"link set {installed.port} up")
        lab.rdv.run(["rdv-admin", "device", "remove", ACCOUNT])
        lab.rdv.run(["rm", "-f", f"/root/{ACCOUNT}.toml"])


def bundle(lab: Lab) -> str:
    return lab.rdv.run(["cat", f"/root/{ACCOUNT}.toml"]).out


def wait_status(machine: Appliance, words: str) -> None:
    wait_until(lambda: words in machine.status, what=f"status file with {words!r}", deadline=60, every=0.2)


def test_a_flashed_card_with_its_file_comes_online(lab: Lab, appliance: Appliance) -> None:
    text = bundle(lab)
    appliance.bundle.write_text(text)
    assert appliance.boot() == []
    lab.wait_online([ACCOUNT])
    wait_status(appliance, f"Online: the RDV server {RDV_NAME} knows this device as {ACCOUNT}.")

    # Nothing secret is on the boot partition, and the one-time key is nowhere.
    card = appliance.bundle.read_text()
    secret = tomllib.loads(text)["rdv"]["enrol_key"].split()[5]
    assert secret not in card and 'enrol_key = "(kept on the device)"' in card
    assert "enrol_key" not in appliance.run(["cat", "/etc/tundev/tundev.toml"]).out

    # It is itself, and nobody gets in.
    assert appliance.run(["hostname"]).out.strip() == ACCOUNT
    assert appliance.run(["systemctl", "is-active", "ssh.service"], check=False).out == "inactive\n"
    assert appliance.run(["ss", "-H", "-l", "-n", "-t"]).out == ""

    # The root cannot be written; what is to last lasts.
    for path in ("/usr/x", "/etc/x", "/var/lib/x"):
        assert "Read-only file system" in appliance.run(["touch", path], check=False).err
    key = appliance.run(["cat", "/etc/tundev/id_ed25519.pub"]).out
    journal = ["journalctl", "--quiet", "--no-pager", "-u", "onsitedev", "-o", "cat", "-b", "-1"]
    with session(lab.master, ACCOUNT, "L2"):
        appliance.stop()
    assert appliance.boot() == []
    lab.wait_online([ACCOUNT])
    assert appliance.run(["cat", "/etc/tundev/id_ed25519.pub"]).out == key
    said = appliance.run(journal).out
    assert "enrolled; from now on" in said
    # Powered off in a session, its agent ended by itself: nothing waited for what comes after it.
    assert "onsitedev.service: Deactivated successfully." in said


def test_a_changed_file_is_taken_over_and_a_bad_one_is_told_of(lab: Lab, appliance: Appliance) -> None:
    text = bundle(lab)
    appliance.bundle.write_text(text.replace("account", "acount"))
    assert appliance.boot() == ["tundev-firstboot.service"]
    wait_status(appliance, "[rdv] acount: is unknown")
    assert "This device waits for it." in appliance.status
    appliance.stop()

    # A good one, with a key that may log in.
    make_key(appliance.path / "admin")
    public = (appliance.path / "admin.pub").read_text().strip()
    appliance.bundle.write_text(f'{text}\n[login]\nauthorized_keys = ["{public}"]\n')
    assert appliance.boot() == []
    lab.wait_online([ACCOUNT])
    wait_status(appliance, "Online: ")
    host_key = appliance.run(["cat", "/var/lib/tundev/ssh/ssh_host_ed25519_key.pub"]).out
    ssh = ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    address = appliance.run(["hostname", "-I"]).out.split()[0]
    camera = lab.camera
    login = [*ssh, "-o", "BatchMode=yes", "-i", str(appliance.path / "admin"), f"root@{address}"]
    assert camera.run([*login, "hostname"]).out == f"{ACCOUNT}\n"
    no_key = [*ssh, "-o", "IdentityFile=none", "-o", "NumberOfPasswordPrompts=0", f"root@{address}", "id"]
    assert "Permission denied (publickey)" in camera.run(no_key, check=False).err
    appliance.stop()

    # On a later boot: a bad one leaves all as it is, and says so; the next good one takes the key away.
    taken = appliance.bundle.read_text()
    appliance.bundle.write_text(taken + "[onside]\n")
    assert appliance.boot() == ["tundev-firstboot.service"]
    lab.wait_online([ACCOUNT])
    wait_status(appliance, "goes on with the file of before")
    assert appliance.run(["cat", "/var/lib/tundev/ssh/ssh_host_ed25519_key.pub"]).out == host_key
    appliance.stop()
    appliance.bundle.write_text(taken.partition("[login]")[0])
    assert appliance.boot() == []
    lab.wait_online([ACCOUNT])
    assert appliance.run(["systemctl", "is-active", "ssh.service"], check=False).out == "inactive\n"


def test_a_card_without_a_file_or_a_network_says_so(lab: Lab, appliance: Appliance) -> None:
    assert appliance.boot() == []
    wait_status(appliance, "There is no configuration.")
    appliance.stop()
    (appliance.boot_partition / "tundev.toml.txt").write_text(bundle(lab))
    assert appliance.boot() == []
    wait_status(appliance, "The file tundev.toml.txt on this card must be called tundev.toml.")
    appliance.stop()
    (appliance.boot_partition / "tundev.toml.txt").rename(appliance.bundle)
    lab.switches[CUSTOMER].ip(f"link set {appliance.port} down")
    assert appliance.boot() == []
    wait_status(appliance, "This onsite has no network")
    assert "It is not enrolled yet" in appliance.status
    lab.switches[CUSTOMER].ip(f"link set {appliance.port} up")
    lab.wait_online([ACCOUNT])
    wait_status(appliance, "Online: ")


def test_its_power_may_be_cut_at_any_time(lab: Lab, appliance: Appliance) -> None:
    appliance.bundle.write_text(bundle(lab))
    # While it takes its file over, right after, and online.
    for reached in ("/etc/tundev/tundev.toml", "/run/tundev/firstboot.json", "/run/tundev/ssh/control"):
        appliance.boot()
        wait_until(
            lambda path=reached: appliance.run(["test", "-e", path], check=False).code == 0,  # type: ignore[misc]
            what=reached,
            every=0.05,
        )
        appliance.kill()
    assert appliance.boot() == []
    lab.wait_online([ACCOUNT])
    wait_status(appliance, "Online: ")
    assert "enrol_key = '''" not in appliance.bundle.read_text()


def test_its_units_are_sandboxed(appliance: Appliance) -> None:
    appliance.boot()
    files = appliance.run(["dpkg", "--listfiles", "tundev-image"]).out.splitlines()
    units = [path for path in files if "/systemd/system/" in path and path.endswith(".service")]
    assert len(units) > 4
    # Those that make the root writable, and dpkg with what it may do: why is said in them.
    root = ("tundev-upgrade.service", "tundev-upgrade-rescue.service", "tundev-machine-id.service")
    sandboxed = [unit for unit in units if not unit.endswith(root)]
    verdicts = [exposure(appliance, unit, OTHERS) for unit in sandboxed]
    assert not [verdict.out.splitlines()[-1] for verdict in verdicts if verdict.code]


NAMES = ("python3-vtunlib", "tundev-common", "tundev-onsite", "tundev-image")


def version(machine: Appliance) -> str:
    """Of all our packages, which is one, and their state."""
    told = machine.run(["dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}\n", *NAMES]).out
    (found,) = set(told.splitlines())
    return found


def offered(machine: Appliance, built: list[Path]) -> list[str]:
    """The files, where a person who logs in would put them."""
    for deb in built:
        Path(f"/proc/{machine.leader}/root/tmp/{deb.name}").write_bytes(deb.read_bytes())
    return [f"/tmp/{deb.name}" for deb in built]


def test_an_upgrade_is_finished_after_a_power_cut_and_a_bad_one_is_taken_back(
    lab: Lab, appliance: Appliance, tmp_path: Path
) -> None:
    appliance.bundle.write_text(bundle(lab))
    appliance.boot()
    lab.wait_online([ACCOUNT])
    former = version(appliance)
    debs = [newest(name) for name in NAMES]
    good = packages.next_version(debs, tmp_path / "good")

    # The power goes while dpkg is at it.
    upgrade = appliance.start(["tundev-upgrade", *offered(appliance, good)])
    wait_until(
        lambda: packages.NEXT in appliance.run(["dpkg-query", "--show", "tundev-common"]).out,
        what="the first package of the new version",
        every=0.05,
    )
    appliance.kill()
    upgrade.stop()
    appliance.boot()
    lab.wait_online([ACCOUNT])
    wait_status(appliance, f"Upgraded to {former.split()[0]}{packages.NEXT}.")
    assert version(appliance) == former.replace(" ", f"{packages.NEXT} ")
    assert "Upgraded to" in appliance.run(["tundev-upgrade", "--status"]).out

    # One whose agent does not come online: back to the one of just now.
    agent = tmp_path / "bad/tundev-onsite/usr/bin/onsitedev"
    bad = packages.next_version(good, tmp_path / "bad")
    agent.write_text("#!/bin/sh\nexit 1\n")
    run(["dpkg-deb", "--root-owner-group", "--build", str(agent.parents[2]), str(bad[2])])
    appliance.run(["tundev-upgrade", *offered(appliance, bad)], deadline=120)
    assert version(appliance).split()[0].endswith(packages.NEXT * 2)
    for _ in range(BOOTS + 1):
        appliance.kill()
        appliance.boot()
    wait_status(appliance, "and this device went back. The reason: the device was started 3 times")
    lab.wait_online([ACCOUNT])
    assert version(appliance) == former.replace(" ", f"{packages.NEXT} ")
    wait_status(appliance, "Online: ")
