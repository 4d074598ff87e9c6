"""The lab itself: it removes what it made, also after it was killed, and two do not meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.clean import clean, namespaces
from tests.lab.debian import REPOSITORY
from tests.lab.lab import Lab
from tests.lab.place import RUN, Place, mounts_below
from tests.lab.process import LabError
from tests.lab.topology import CAMERA, topology

NAME = "labtest"


def _left() -> list[str]:
    mounts = [str(path) for path in mounts_below(RUN / NAME)]
    asked = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True).stdout
    processes = [
        line for line in asked.splitlines() if f"rdvlab-{NAME}-" in line or f"/run/rdvlab/{NAME}/" in line
    ]
    return namespaces(NAME) + mounts + processes


@contextmanager
def _held_lab() -> Iterator[subprocess.Popen[str]]:
    """A lab in a process of its own, up and waiting; it is gone with the block."""
    # Where the tests were started in a shell's background, SIGINT would be ignored there.
    argv = ["env", "--default-signal=INT", sys.executable, "-u", "-m", "tests.lab"]
    argv += ["up", "--bare", "--name", NAME]
    held = subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert held.stdout is not None
    try:
        if not any(line.startswith("up after") for line in held.stdout):
            raise AssertionError("the lab did not come up")
        yield held
    finally:
        held.kill()
        held.wait()
        held.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_lab_cleans_up(number: signal.Signals) -> None:
    with _held_lab() as held:
        held.send_signal(number)
        held.wait(60)
    assert _left() == []


def test_what_a_killed_lab_left_is_found_without_memory() -> None:
    with _held_lab():
        pass
    assert namespaces(NAME)
    with Place(NAME) as place:
        clean(place)
    assert _left() == []


def test_two_labs_of_one_name_do_not_meet() -> None:
    with _held_lab() as held:
        with pytest.raises(LabError, match=f"in use by process {held.pid}"), Lab(name=NAME):
            pass
        held.terminate()
        held.wait(60)


def test_networks_are_what_the_topology_says() -> None:
    with Lab(topology(sites=2, desks=2, clashing=[2]), name=NAME, packages=None) as lab:
        lab.up()
        for onsite, camera in zip(lab.onsites, lab.cameras, strict=True):
            assert onsite.run(["curl", "--silent", f"http://{CAMERA}/"]).out == camera.page()
        assert f" {CAMERA}/24" in lab.masters[1].run(["ip", "-4", "address", "show", "dev", "eth0"]).out
        for master, bystander in zip(lab.masters, lab.plan.desks, strict=True):
            master.run(["ping", "-c1", "-W2", str(bystander.bystander_address)])
            master.run(["ping", "-c1", "-W2", "rdv.example.com"])
        inside = lab.onsite.run(["hostname", "-I"]).out.split()[0]
        lab.rdv.run(["ip", "route", "add", "192.168.1.0/24", "via", str(lab.plan.sites[0].lan.public)])
        assert lab.rdv.run(["ping", "-c1", "-W1", inside], check=False).code != 0, (
            "the router let the RDV dial in"
        )


def test_a_machine_boots_again_after_its_plug_was_pulled() -> None:
    with Lab(topology(sites=1, desks=0), name=NAME, packages=None) as lab:
        lab.up()
        lab.onsite.start(["sleep", "infinity"])
        lab.onsite.kill()
        assert lab.onsite.leader is None
        assert lab.onsite.boot() == []
        assert lab.onsite.run(["hostname", "-I"]).out.strip()
    assert _left() == []
    assert os.path.lexists(RUN)
