"""A device as its card makes it: flashed, its file copied onto the boot partition, switched on."""

from __future__ import annotations

import tomllib

from tests.lab.appliance import ACCOUNT, CUSTOMER, Appliance
from tests.lab.customer import make_key
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.test_hardening import OTHERS, exposure
from tests.lab.test_sessions import session
from tests.lab.topology import RDV_NAME


def test_a_flashed_card_with_its_file_comes_online(lab: Lab, appliance: Appliance) -> None:
    text = appliance.issued
    appliance.bundle.write_text(text)
    assert appliance.boot() == []
    lab.wait_online([ACCOUNT])
    appliance.wait_status(f"Online: the RDV server {RDV_NAME} knows this device as {ACCOUNT}.")

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
    text = appliance.issued
    appliance.bundle.write_text(text.replace("account", "acount"))
    assert appliance.boot() == ["tundev-firstboot.service"]
    appliance.wait_status("[rdv] acount: is unknown")
    assert "This device waits for it." in appliance.status
    appliance.stop()

    # A good one, with a key that may log in.
    make_key(appliance.path / "admin")
    public = (appliance.path / "admin.pub").read_text().strip()
    appliance.bundle.write_text(f'{text}\n[login]\nauthorized_keys = ["{public}"]\n')
    assert appliance.boot() == []
    lab.wait_online([ACCOUNT])
    appliance.wait_status("Online: ")
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
    appliance.bundle.write_text(f"{taken}\nmore = {'[' * 5000}\n")
    assert appliance.boot() == ["tundev-firstboot.service"]
    lab.wait_online([ACCOUNT])
    appliance.wait_status("nested too deeply")
    assert "goes on with the file of before" in appliance.status
    assert appliance.run(["hostname"]).out.strip() == ACCOUNT
    assert camera.run([*login, "hostname"]).out == f"{ACCOUNT}\n"
    assert appliance.run(["cat", "/var/lib/tundev/ssh/ssh_host_ed25519_key.pub"]).out == host_key
    appliance.stop()
    appliance.bundle.write_text(taken.partition("[login]")[0])
    assert appliance.boot() == []
    lab.wait_online([ACCOUNT])
    assert appliance.run(["systemctl", "is-active", "ssh.service"], check=False).out == "inactive\n"


def test_a_card_without_a_file_or_a_network_says_so(lab: Lab, appliance: Appliance) -> None:
    assert appliance.boot() == []
    appliance.wait_status("There is no configuration.")
    appliance.stop()
    issued = appliance.boot_partition / f"{ACCOUNT}.toml"
    issued.write_text(appliance.issued)
    assert appliance.boot() == []
    appliance.wait_status(f"The file {ACCOUNT}.toml on this card must be called tundev.toml.")
    appliance.stop()
    appliance.bundle.write_text(appliance.issued)
    lab.switches[CUSTOMER].ip(f"link set {appliance.port} down")
    assert appliance.boot() == []
    appliance.wait_status("This onsite has no network")
    assert "It is not enrolled yet" in appliance.status
    lab.switches[CUSTOMER].ip(f"link set {appliance.port} up")
    lab.wait_online([ACCOUNT])
    appliance.wait_status("Online: ")
    # Copied, not renamed: what the device has erased from its file is still beside it.
    assert f"can read a device's secrets on it, in {ACCOUNT}.toml: delete that" in appliance.status
    assert issued.read_text() == appliance.issued


def test_its_power_may_be_cut_at_any_time(lab: Lab, appliance: Appliance) -> None:
    appliance.bundle.write_text(appliance.issued)
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
    appliance.wait_status("Online: ")
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
