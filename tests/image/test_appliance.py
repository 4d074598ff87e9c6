"""An onsite's image as the build makes it: its stages, its boot partition, its own kernel and initrd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from image.layout import DATA
from tests.image.card import ROOM, card_of, image_of
from tests.image.guest import Guest
from tests.lab.clean import clean
from tests.lab.host import Host
from tests.lab.place import Place
from vtunlib.tunnel import Role

# Nothing answers at TEST-NET-1 (RFC 5737).
BUNDLE = """\
[rdv]
server = "192.0.2.1"
account = "rpi1100"
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"

[onsite]
location = "boiler room"
"""
DEADLINE = 600.0  # seconds of this machine's clock for a boot by emulation, beside other work


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """The onsite, booted from its card for the first time."""
    image = image_of(Role.ONSITE)
    with ExitStack() as undo:
        place = undo.enter_context(Place("card"))
        clean(place)  # what an interrupted run left
        undo.callback(clean, place)
        place.mount()
        host = Host(place, "site")
        host.create()
        undo.callback(host.end_programs)
        disk = card_of(image, BUNDLE, tmp_path_factory.mktemp("card"))
        guest = undo.enter_context(Guest("onsite", host, disk, host.path, paced=False))
        guest.boot(deadline=DEADLINE)
        yield guest


def _said(device: Guest, *argv: str) -> str:
    return device.run(argv).out.strip()


def test_it_boots_and_no_unit_fails(device: Guest) -> None:
    assert device.failed_units() == []


def test_its_root_is_read_only_and_its_boot_partition_mounted(device: Guest) -> None:
    assert _said(device, "findmnt", "-n", "-o", "OPTIONS", "/").split(",")[0] == "ro"
    assert _said(device, "findmnt", "-n", "-o", "SOURCE,FSTYPE", "/boot/firmware").split() == [
        "/dev/vda1",
        "vfat",
    ]


def test_its_data_partition_fills_the_card(device: Guest) -> None:
    assert int(_said(device, "findmnt", "-n", "-b", "-o", "SIZE", "/var/lib/tundev")) > DATA + ROOM // 2


def test_its_agent_runs(device: Guest) -> None:
    assert _said(device, "systemctl", "is-active", "onsitedev.service") == "active"


def test_its_clock_is_not_before_the_image_s_date(device: Guest) -> None:
    now, made = (
        int(_said(device, *argv)) for argv in (("date", "+%s"), ("stat", "-c", "%Y", "/usr/lib/clock-epoch"))
    )
    assert now >= made


def test_it_has_an_identity_of_its_own_and_lets_nobody_in(device: Guest) -> None:
    assert len(_said(device, "cat", "/etc/machine-id")) == 32
    listening = _said(device, "ss", "--listening", "--tcp", "--numeric", "--no-header")
    assert ":22 " not in listening
    assert device.run(["swapon", "--show", "--noheadings"]).out == ""


def test_it_knows_its_own_version(device: Guest) -> None:
    release = device.run(["cat", "/etc/os-release"]).out
    assert "IMAGE_ID=tundev-onsite-arm64-debian" in release
