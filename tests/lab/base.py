"""The cached Debian root that every machine of the lab has as its lowest layer.

The packages that debian/control depends on belong to its recipe, so that installing the
product in a machine needs no network.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab.debian import Recipe, kept_root, our_depends
from tests.lab.place import CACHE

# fmt: off
PACKAGES = [
    "systemd", "systemd-sysv", "libpam-systemd", "dbus", "adduser", "kmod", "procps", "less",
    "ca-certificates", "iproute2", "nftables", "iputils-ping", "iputils-arping",
    "tcpdump", "iperf3", "curl", "socat", "strace",
    "openssh-server", "openssh-client", "openssl", "stunnel4", "vtun", "dnsmasq-base", "netcat-openbsd",
    "network-manager", "isc-dhcp-client",
    "python3", "python3-pystemd", "python3-pyudev", "python3-pexpect", "python3-pyroute2", "python3-sdnotify",
    "python3-dbus-fast", "python3-nftables",
]
# fmt: on

# Run in the new root: no host's identity, no network of the build, no timers that want the internet.
FINISH = r"""
rm -f "$1/etc/resolv.conf" "$1/etc/hostname"
: > "$1/etc/machine-id"
rm -f "$1/var/lib/dbus/machine-id"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$1/etc/hosts"
for timer in apt-daily.timer apt-daily-upgrade.timer; do
    ln -sf /dev/null "$1/etc/systemd/system/$timer"
done
chroot "$1" passwd -q -d root
"""


def recipe() -> Recipe:
    """What the root is made from."""
    return Recipe(tuple(sorted({*PACKAGES, *our_depends()})), FINISH)


def base_root(*, fresh: bool = False) -> Path:
    """The root, made (in about half a minute) if there is none yet or `fresh` asks for it."""
    return kept_root(recipe(), CACHE, fresh=fresh)
