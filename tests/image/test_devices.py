"""A field engineer's whole work: the image, the bundle on it, power. The device is online."""

from __future__ import annotations

from pathlib import Path

from image.layout import read as layout_of
from tests.image.card import card_of, image_of
from tests.image.guest import Guest
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.process import run
from tests.lab.topology import RDV
from vtunlib.tunnel import Role

ACCOUNT = "rpi1300"
DEADLINE = 600.0  # seconds of this machine's clock: a first boot by emulation, beside other work


def test_an_onsite_s_card_enrols_survives_power_cuts_and_keeps_no_secret(lab: Lab, tmp_path: Path) -> None:
    image = image_of(Role.ONSITE)
    file = f"/root/{ACCOUNT}.toml"
    add = ["rdv-admin", "device", "add", ACCOUNT, "--role", "onsite", "--location", "cellar"]
    lab.rdv.run([*add, "--server", str(RDV.ip), "--bundle", file])
    try:
        disk = card_of(image, lab.rdv.run(["cat", file]).out, tmp_path)
        with Guest("onsite", lab.camera, disk, tmp_path, paced=False) as guest:
            guest.boot(deadline=DEADLINE)
            wait_until(lambda: ACCOUNT in lab.online(), what="online", deadline=DEADLINE, every=1.0)
            assert guest.failed_units() == []
            # The power is cut in the middle of whatever it does, a moment after it came online.
            for _ in range(3):
                guest.stop()
                wait_until(lambda: ACCOUNT not in lab.online(), what="offline", deadline=120.0, every=1.0)
                guest.boot(deadline=DEADLINE)
                wait_until(lambda: ACCOUNT in lab.online(), what="online again", deadline=DEADLINE, every=1.0)
            assert guest.failed_units() == []
        boot = f"{disk.image}@@{layout_of(disk.image).partitions[0].start}"
        left = run(["mtype", "-i", boot, "::/tundev.toml"]).out
        assert ACCOUNT in left
        assert "PRIVATE KEY" not in left
        # What it tells of itself there is late by minutes, for the card's sake: that it does is what counts.
        assert "This device at 20" in run(["mtype", "-i", boot, "::/tundev-status.txt"]).out
    finally:
        lab.rdv.run(["rdv-admin", "device", "remove", ACCOUNT], check=False)
