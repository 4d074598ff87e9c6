"""A new version on an appliance, by files or from a repository: finished after a cut, taken back if bad."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import packages
from tests.lab.appliance import ACCOUNT, CUSTOMER, Appliance
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.process import run
from tests.lab.roles import DIST, newest
from tests.lab.signer import signer
from tests.lab.topology import CAMERA

NAMES = ("python3-vtunlib", "tundev-common", "tundev-onsite", "tundev-image")
SHORT_LIMIT = """\
[Service]
ExecStart=
ExecStart=/usr/lib/tundev/upgrade --online-within {}
"""
LIMIT = 15
"""Seconds that an agent has to come online here, in place of ten minutes."""
PORT = 8000
NO_UPLINK = """\
#!/bin/sh -e
mkdir -p /run/NetworkManager/conf.d
printf '[main]\\nno-auto-default=*\\n' >/run/NetworkManager/conf.d/none.conf
exit 1
"""
"""Else NetworkManager would find a wired network with DHCP, as here, by itself."""


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


def kept(machine: Appliance) -> set[str]:
    """The versions that are kept for the way back."""
    folder = machine.data_partition / "upgrade/installed"
    return {file.name.split("_")[1] for file in folder.iterdir()}


def rebuilt(deb: Path, file: str, text: str) -> None:
    """Give the package, as packages.next_version built it, another file."""
    tree = deb.parent / deb.name.split("_")[0]
    (tree / file).write_text(text)
    run(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(deb)])


@contextmanager
def served(lab: Lab, folder: Path) -> Iterator[None]:
    """The folder, by HTTP at PORT of the first customer's camera."""
    argv = ["/usr/bin/python3", "-m", "http.server", str(PORT), "--directory", str(folder)]
    server = lab.camera.start(argv)
    try:
        answers = ["curl", "--silent", "--fail", "--output", "/dev/null", f"http://127.0.0.1:{PORT}/"]
        wait_until(lambda: lab.camera.run(answers, check=False).code == 0, what="the web server")
        yield
    finally:
        server.stop()


@pytest.fixture
def short_limit(appliance: Appliance) -> int:
    """LIMIT, set for the unit as an administrator would."""
    drop_in = appliance.root / "etc/systemd/system/tundev-upgrade.service.d/limit.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(SHORT_LIMIT.format(LIMIT))
    return LIMIT


def test_an_upgrade_survives_a_power_cut_and_is_kept_when_a_start_was_online_with_it(
    lab: Lab, appliance: Appliance, short_limit: int, tmp_path: Path
) -> None:
    appliance.bundle.write_text(appliance.issued)
    appliance.boot()
    lab.wait_online([ACCOUNT])
    former = version(appliance)
    newer = former.replace(" ", f"{packages.NEXT * 2} ")
    bad = packages.next_version([newest(name) for name in NAMES], tmp_path / "bad")
    good = packages.next_version(bad, tmp_path / "good")

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
    told = f"Upgraded to {newer.split()[0]}"
    appliance.wait_status(f"{told}; the former version is kept until this device has started with it")
    assert version(appliance) == newer
    assert "the former version is kept" in appliance.run(["tundev-upgrade", "--status"]).out
    assert kept(appliance) == {former.split()[0]}

    # It starts where there is no network: no fault of the new version's, which is kept when there is one.
    appliance.kill()
    lab.switches[CUSTOMER].ip(f"link set {appliance.port} down")
    appliance.boot()
    wait_until(
        lambda: "nothing of ours is why" in appliance.journal("tundev-upgrade.service"),
        what="the end of the limit",
        deadline=short_limit + 60,
    )
    assert version(appliance) == newer and kept(appliance) == {former.split()[0]}
    lab.switches[CUSTOMER].ip(f"link set {appliance.port} up")
    lab.wait_online([ACCOUNT])
    appliance.wait_status(f"{told}.")
    assert kept(appliance) == {newer.split()[0]}
    assert "Read-only file system" in appliance.run(["touch", "/usr/x"], check=False).err

    # An older one is taken by hand. It is online at once, but does not come up by a start: back, by another.
    rebuilt(bad[1], "usr/lib/tundev/uplink", NO_UPLINK)
    appliance.run(["tundev-upgrade", *offered(appliance, bad)], deadline=120)
    appliance.wait_status(f"Upgraded to {former.split()[0]}{packages.NEXT}; the former version is kept")
    appliance.kill()
    appliance.boot_until_it_reboots(deadline=short_limit + 90)
    appliance.boot()
    lab.wait_online([ACCOUNT])
    appliance.wait_status(f"The reason: {short_limit} seconds after a start the device was not online, ")
    assert "and tundev-uplink@onsite.service failed." in appliance.status
    assert version(appliance) == newer
    appliance.wait_status("Online: ")


def test_a_version_that_does_not_run_at_all_is_taken_back_in_time_and_by_a_boot(
    lab: Lab, appliance: Appliance, short_limit: int, tmp_path: Path
) -> None:
    appliance.bundle.write_text(appliance.issued)
    appliance.boot()
    lab.wait_online([ACCOUNT])
    former = version(appliance)
    bad = packages.next_version([newest(name) for name in NAMES], tmp_path / "bad")
    # Nothing of ours starts any more: not the agent, not the report, not the upgrade's own service.
    rebuilt(bad[0], "usr/lib/python3/dist-packages/vtunlib/__init__.py", "raise SystemExit('broken')\n")

    # Left alone, the process that installed it runs on with the former code, and waits for the agent.
    told = appliance.run(["tundev-upgrade", *offered(appliance, bad)], deadline=120).out
    assert "Installed. Unless it is online within 10 minutes" in told
    assert version(appliance).split()[0].endswith(packages.NEXT)
    appliance.wait_status(
        f"went back. The reason: the agent was not online within {short_limit} seconds.",
        deadline=short_limit + 90,
    )
    assert version(appliance) == former
    lab.wait_online([ACCOUNT])
    appliance.wait_status("Online: ")

    # Switched off meanwhile, nothing of that code is there any more: dpkg alone puts the former back.
    appliance.run(["tundev-upgrade", *offered(appliance, bad)], deadline=120)
    appliance.kill()
    appliance.boot_until_it_reboots(deadline=120)
    appliance.boot()
    appliance.wait_status("The last upgrade failed, and this device went back by dpkg alone")
    assert version(appliance) == former
    lab.wait_online([ACCOUNT])
    appliance.wait_status("Online: ")
    assert appliance.run(["tundev-upgrade", "--status"]).out.startswith("The last upgrade failed")


def test_a_new_version_comes_from_the_repository_that_the_device_s_file_names(
    lab: Lab, appliance: Appliance, tmp_path: Path
) -> None:
    folder, dist = tmp_path / "served", tmp_path / "dist"
    dist.mkdir()
    with signer() as admin, signer() as other:
        present = [newest(name, DIST) for name in NAMES]
        for deb in present:
            (dist / deb.name).write_bytes(deb.read_bytes())
        url = f"http://{CAMERA}:{PORT}"
        table = admin.publish(dist, folder, url)
        appliance.bundle.write_text(f"{appliance.issued}\n{table}")
        appliance.boot()
        lab.wait_online([ACCOUNT])
        former = version(appliance)

        def asked(*words: str) -> str:
            """What the command says that fails, and that nothing was changed."""
            done = appliance.run(["tundev-upgrade", *words], check=False, deadline=120)
            assert done.code == 1
            assert appliance.run(["tundev-upgrade", "--status"]).out == "There was no upgrade.\n"
            assert version(appliance) == former
            return done.err

        assert "Connection refused" in asked("--check")
        with served(lab, folder):
            assert "none that is newer" in appliance.run(["tundev-upgrade", "--check"]).out
            assert "the newest" in appliance.run(["tundev-upgrade", "--from-repository"]).out

            # Signed by somebody else; and, signed as it must be, older.
            good = packages.next_version(present, tmp_path / "good")
            for deb in good:
                (dist / deb.name).write_bytes(deb.read_bytes())
            other.publish(dist, folder, url)
            assert "the public key is not available" in asked("--from-repository")
            admin.publish(dist, folder, url)
            looked = json.loads(appliance.run(["tundev-upgrade", "--check", "--json"]).out)
            assert looked["newer"] and looked["offered"].endswith(packages.NEXT)

            appliance.run(["tundev-upgrade", "--from-repository"], deadline=120)
            lab.wait_online([ACCOUNT])
            appliance.wait_status(f"Upgraded to {looked['offered']};")
            assert version(appliance) == former.replace(" ", f"{packages.NEXT} ")
            for deb in folder.glob(f"*{packages.NEXT}*"):
                deb.unlink()
                (dist / deb.name).unlink()
            admin.publish(dist, folder, url)
            done = appliance.run(["tundev-upgrade", "--from-repository"], check=False)
            assert done.code == 1 and "is older than this device's" in done.err
    assert appliance.run(["find", "/run", "-maxdepth", "1", "-name", "tundev-upgrade.*"]).out == ""
