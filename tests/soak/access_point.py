"""A Wi-Fi network for a machine in QEMU: the second radio of the kernel's simulation (mac80211_hwsim).

Radio and hostapd live in a network namespace of the guest, bridged to a network card that QEMU
gives it for that: its DHCP and its way out are the Wi-Fi network's, too. What it needs
besides is no part of an image, and lies on a disk of its own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from image.recipe import Arch
from tests.image.guest import Guest
from tests.lab.debian import SUITE, held, proxies, sources
from tests.lab.process import run

CACHE = Path("/var/cache/tundev/radio")
PACKAGES = ("hostapd", "iw")
CARD = "02:00:00:00:00:aa"
"""MAC address of the network card."""
_TOOLS = Path("/run/tools")
_SPACE = "ap"
AIR = "air"
"""What QEMU calls the card's cable; it is for who uses this to leave it unplugged until `install`."""
CHANNEL = 13
"""Not allowed where the country is not known."""


def tools(cache: Path = CACHE) -> Path:
    """A disk with the programs, for arm64; nothing of it is run here."""
    with held(cache):
        disk = cache / "tools.img"
        if not disk.exists():
            root, part, programs = cache / "root", cache / "tools.part", cache / "tools"
            for old in (root, programs):
                shutil.rmtree(old, ignore_errors=True)
            packages = f"--include={','.join(PACKAGES)}"
            foreign = ["--variant=extract", f"--architectures={Arch.ARM64}", "--skip=check/qemu"]
            told = "\n".join(sources()) + "\n"
            run(
                ["mmdebstrap", "--quiet", *foreign, packages, *proxies(), SUITE, str(root), "-"],
                stdin=told,
                deadline=600,
            )
            programs.mkdir()
            for name in ("usr/sbin/hostapd", "usr/sbin/hostapd_cli", "sbin/iw"):
                shutil.copy2(root / name, programs)
            run(["mke2fs", "-q", "-t", "ext4", "-d", str(programs), str(part), "8M"])
            part.rename(disk)
            shutil.rmtree(root)
        return disk


def hardware(disk: Path) -> Sequence[str]:
    """QEMU's words for the card and the disk."""
    return (
        *("-netdev", f"user,id={AIR}", "-device", f"virtio-net-pci,netdev={AIR},romfile=,mac={CARD}"),
        *("-drive", f"if=none,id=tools,format=raw,readonly=on,file={disk}"),
        *("-device", "virtio-blk-pci,drive=tools,serial=tools"),
    )


class AccessPoint:
    """In the guest. The network is not there before `open`."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def install(self) -> None:
        """The device has a radio from now on, and this has the other."""
        say = self._guest.run
        say(["mkdir", "-p", str(_TOOLS)])
        say(["mount", "-o", "ro", "/dev/disk/by-id/virtio-tools", str(_TOOLS)])
        say(["ip", "netns", "add", _SPACE])
        say(["modprobe", "mac80211_hwsim", "radios=2"])
        say([str(_TOOLS / "iw"), "phy", "phy1", "set", "netns", "name", _SPACE])
        links = json.loads(say(["ip", "-json", "link"]).out)
        (card,) = (link["ifname"] for link in links if link.get("address") == CARD)
        say(["ip", "link", "set", card, "netns", _SPACE, "name", "card"])
        inside = ["ip", "-n", _SPACE]
        say([*inside, "link", "add", "lan", "type", "bridge"])
        say([*inside, "link", "set", "card", "master", "lan"])
        for link in ("card", "lan"):
            say([*inside, "link", "set", link, "up"])
        self._guest.monitor.command("set_link", name=AIR, up=True)

    def open(self, ssid: str, psk: str, *more: str) -> None:
        """The network is there; with `more` lines of hostapd.conf(5)'s form, which go before these."""
        self.close()
        key = hashlib.pbkdf2_hmac("sha1", psk.encode(), ssid.encode(), 4096, 32).hex()
        lines = [
            *(
                "driver=nl80211",
                "interface=wlan1",
                "bridge=lan",
                f"ssid2={ssid.encode().hex()}",
                "utf8_ssid=1",
            ),
            *("hw_mode=g", f"channel={CHANNEL}", "ctrl_interface=/run/hostapd"),
            *("wpa=2", "rsn_pairwise=CCMP"),
            *(more or ("wpa_key_mgmt=WPA-PSK", f"wpa_psk={key}")),
        ]
        self._guest.run(["tee", "/run/hostapd.conf"], stdin="\n".join(lines) + "\n")
        hostapd = [str(_TOOLS / "hostapd"), "-B", "-P", "/run/hostapd.pid", "/run/hostapd.conf"]
        self._guest.run(["ip", "netns", "exec", _SPACE, *hostapd])

    def close(self) -> None:
        """It is gone from the air."""
        self._guest.run(["pkill", "--pidfile", "/run/hostapd.pid"], check=False)
