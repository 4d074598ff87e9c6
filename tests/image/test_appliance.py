"""Each role's image as it is after its first boot: its stages, its boot partition, its kernel and initrd."""

from __future__ import annotations

import json

import pytest

from image.layout import DATA, MIB
from tests.image.card import ROOM
from tests.image.conftest import Devices
from tests.image.device import DEADLINE
from tests.image.guest import Guest
from tests.lab.host import wait_until
from tundev.appliance.led import CLASS, NAMES, PATTERNS
from vtunlib.tunnel import Role

JOURNAL_USAGE = "ec387f577b844b8fa948f33cad9a75e6"
"""SD_MESSAGE_JOURNAL_USAGE of sd-messages.h(3)."""
# A keyboard's light is to the kernel a LED as any. No LED can be renamed: what finds the board's is shown a
# folder that has it by that name.
FIND_LIGHT = f"""
from pathlib import Path
Path("/run/leds").mkdir()
light = next(Path("{CLASS}").glob("*::capslock")).resolve()
Path("/run/leds/{NAMES[0]}").symlink_to(light)
print(light)
"""
SHOW_ALL = """
from pathlib import Path
from tundev.appliance.led import CLASS, NAMES, PATTERNS, Led
for condition in PATTERNS:
    Led().show(condition)
    print((CLASS / NAMES[0] / "trigger").read_text().partition("[")[2].partition("]")[0])
"""
AGENTS = {
    Role.ONSITE: ["onsitedev"],
    Role.MASTER: ["masterdev", "masterdev-web", "secondary-if-watcher"],
}


@pytest.fixture(params=list(Role))
def role(request: pytest.FixtureRequest) -> Role:
    """Each of them."""
    return Role(request.param)


@pytest.fixture
def guest(devices: Devices, role: Role) -> Guest:
    """The device of that role."""
    return {Role.ONSITE: devices.onsite.guest, Role.MASTER: devices.desk.master}[role]


def said(guest: Guest, *argv: str) -> str:
    """What a command in it says."""
    return guest.run(argv).out.strip()


def test_it_boots_and_no_unit_fails(devices: Devices, role: Role) -> None:
    assert devices.failed[role] == []


def test_its_data_partition_fills_the_card(guest: Guest) -> None:
    size = said(guest, "findmnt", "--noheadings", "--bytes", "--output", "SIZE", "/var/lib/tundev")
    assert int(size) > DATA + ROOM // 2


def test_its_root_is_read_only_and_its_boot_partition_mounted(guest: Guest) -> None:
    mounted = {
        target: (source, kind, options.split(",")[0])
        for target, source, kind, options in (
            line.split() for line in said(guest, "findmnt", "--noheadings", "--raw", "--real").splitlines()
        )
    }
    assert mounted["/"][1:] == ("ext4", "ro")
    assert mounted["/boot/firmware"] == ("/dev/vda1", "vfat", "ro")
    assert mounted["/var/lib/tundev"] == ("/dev/vda4", "ext4", "rw")


def test_its_agents_run(guest: Guest, role: Role) -> None:
    states = said(guest, "systemctl", "is-active", *AGENTS[role]).split()
    assert states == ["active"] * len(AGENTS[role])


def test_its_clock_is_not_before_the_image_s_date(guest: Guest) -> None:
    assert guest.clock() >= int(said(guest, "stat", "--format=%Y", "/usr/lib/clock-epoch"))


def test_it_has_an_identity_of_its_own(devices: Devices) -> None:
    """Its host name is the account's; its machine-id is written down, not laid over an empty file."""
    identities = {}
    for account, guest in (
        (devices.onsite.account, devices.onsite.guest),
        (devices.desk.device.account, devices.desk.master),
    ):
        assert said(guest, "uname", "--nodename") == account
        identities[account] = said(guest, "cat", "/etc/machine-id")
        assert len(identities[account]) == 32
        assert guest.run(["mountpoint", "--quiet", "/etc/machine-id"], check=False).code != 0
    assert len(set(identities.values())) == len(identities)


def test_it_lets_nobody_in_and_swaps_nothing(guest: Guest) -> None:
    """Without a key in [login] no sshd runs."""
    assert ":22 " not in said(guest, "ss", "--listening", "--tcp", "--numeric", "--no-header")
    assert said(guest, "swapon", "--show", "--noheadings") == ""


def test_its_time_zone_and_language_are_plain(guest: Guest) -> None:
    assert said(guest, "date", "+%Z") == "UTC"
    assert said(guest, "cat", "/etc/default/locale") == "LANG=C.UTF-8"


def test_its_journal_is_kept_and_bounded(guest: Guest) -> None:
    """journald says of each of its journals where it is and how large it lets it become."""
    told = said(guest, "journalctl", "--boot", f"MESSAGE_ID={JOURNAL_USAGE}", "--output=json")
    most = {
        entry["JOURNAL_PATH"].rsplit("/", 1)[0]: int(entry["LIMIT"])
        for entry in map(json.loads, told.splitlines())
    }
    assert set(most) == {"/run/log/journal", "/var/log/journal"}
    assert most["/run/log/journal"] <= 16 * MIB
    assert most["/var/log/journal"] <= 64 * MIB


def test_it_knows_its_own_version(guest: Guest, role: Role) -> None:
    release = said(guest, "cat", "/etc/os-release").splitlines()
    assert f"IMAGE_ID=tundev-{role}-arm64-debian" in release
    installed = said(guest, "dpkg-query", "--show", "--showformat=${Version}", "tundev-image")
    assert f"IMAGE_VERSION={installed}" in release


def test_its_led_shows_how_it_is(devices: Devices) -> None:
    """QEMU's machine has no LED, so a keyboard lends it a light; the triggers are modules of this kernel."""
    guest = devices.onsite.guest
    guest.monitor.command("device_add", driver="usb-kbd", id="keyboard")
    wait_until(
        lambda: "::capslock" in said(guest, "ls", str(CLASS)),
        what="the keyboard's light",
        deadline=DEADLINE,
        every=0.5,
    )
    light = guest.run(["python3", "-"], stdin=FIND_LIGHT).out.strip()
    guest.run(["mount", "--bind", "/run/leds", str(CLASS)])
    try:
        guest.run(["systemctl", "restart", "tundev-report.service"])
        wait_until(
            lambda: "[none]" in said(guest, "cat", f"{light}/trigger"),
            what="online, on the LED",
            deadline=DEADLINE,
            every=0.5,
        )
        assert said(guest, "cat", f"{light}/brightness") == said(guest, "cat", f"{light}/max_brightness")
        shown = guest.run(["python3", "-"], stdin=SHOW_ALL).out.split()
        assert shown == [pattern.trigger for pattern in PATTERNS.values()]
    finally:
        guest.run(["umount", str(CLASS)])
        guest.run(["rm", "--recursive", "/run/leds"])
        guest.monitor.command("device_del", id="keyboard")
        guest.run(["systemctl", "restart", "tundev-report.service"])
