"""An onsite that has no cable but Wi-Fi: what only a kernel with a radio shows."""

from __future__ import annotations

import random
from pathlib import Path

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.soak.access_point import AIR, AccessPoint, hardware, tools
from tests.soak.device import DEADLINE, device
from tundev.firstboot.boot_partition import BUNDLE

SSID, PSK = " café;\\ 1", "  pass\\word #;= "
UPLINK = "\n[uplink.wifi]\nssid = ' café;\\ 1'\npsk = '  pass\\word #;= '\ncountry = \"FR\"\n"


def test_an_onsite_without_a_cable_enrols_by_wifi_and_comes_back_when_the_passphrase_is_right_again(
    rdv: Lab, image: Path, tmp_path: Path, chance: random.Random
) -> None:
    with device(rdv, image, tmp_path, chance, more=hardware(tools())) as onsite:
        onsite.card.write(BUNDLE, (onsite.card.read(BUNDLE) + UPLINK).encode())
        onsite.switch_on()
        for link in ("uplink", AIR):
            onsite.guest.monitor.command("set_link", name=link, up=False)
        onsite.guest.wait_booted(DEADLINE)
        air = AccessPoint(onsite.guest)
        air.install()
        assert not onsite.online
        air.open(SSID, PSK)
        onsite.wait_online()
        assert "dev wlan0" in onsite.guest.run(["ip", "route", "show", "default"]).out
        assert "kept on the device" in onsite.guest.run(["cat", f"/boot/firmware/{BUNDLE}"]).out
        # As where a router was replaced, and set up like the former one only at the second try.
        air.open(SSID, "another one altogether")
        wait_until(lambda: not onsite.online, what="offline", deadline=DEADLINE, every=1.0)
        wait_until(
            lambda: any(
                "passphrase" in entry["MESSAGE"] for entry in onsite.journal("-u", "tundev-uplink-watch")
            ),
            what="a failed try",
            deadline=DEADLINE,
            every=5.0,
        )
        air.open(SSID, PSK)
        onsite.wait_online()
