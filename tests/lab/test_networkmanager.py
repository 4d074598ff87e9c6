"""What Debian's NetworkManager and udev make of a master's interfaces with our rule and our drop-in.

Not in a machine of the lab: NetworkManager does not ask udev there, for /sys is read-only.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab.base import base_root
from tests.netns.udev import RULES
from tundev import config, uplink
from tundev.config import Master
from tundev.config_values import Server
from vtunlib.tunnel import Role

RDV = config.Rdv(Server("rdv.example.com"), "rpi1100", "ssh-ed25519 AAAA")
SECONDS = 60

ADAPTERS = ("eth1", "eth2")
USB = 'SUBSYSTEM=="net", KERNEL=="eth1|eth2", ENV{ID_BUS}="usb", ENV{ID_NET_DRIVER}="r8152"\n'

# With a process namespace of its own, which ends all that was started in it. eth0 is made last: once
# NetworkManager has taken it up, it has seen the others.
_SCRIPT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir -p run/udev/rules.d run/dbus run/NetworkManager/conf.d
cp "$3"/*.rules run/udev/rules.d/
cp "$3"/*.conf run/NetworkManager/conf.d/
exec chroot . sh -ec '
/usr/lib/systemd/systemd-udevd --daemon 2> /dev/null
for name in eth1 eth2 eth0; do
    ip link add "$name" type veth peer name "cable-$name"
    ip link set "cable-$name" up
done
udevadm settle
dbus-daemon --system --fork --nopidfile
NetworkManager
until nmcli --terse device 2> /dev/null | grep -q "^eth0:ethernet:connect"; do sleep 0.1; done
nmcli --terse --fields DEVICE,STATE device
'
"""


@pytest.mark.parametrize(
    ("master", "managed"),
    [
        pytest.param(Master(), {"eth0"}, id="adapters are the technician's"),
        pytest.param(Master(uplink="eth2"), {"eth0", "eth2"}, id="the uplink is an adapter"),
        pytest.param(Master(interface="eth1"), {"eth0", "eth2"}, id="the port has a name"),
        pytest.param(Master(interface="eth1", uplink="eth2"), {"eth0", "eth2"}, id="both have one"),
    ],
)
def test_networkmanager_has_what_is_not_the_technicians(
    master: Master, managed: set[str], tmp_path: Path
) -> None:
    files, space = tmp_path / "files", tmp_path / "space"
    files.mkdir()
    space.mkdir()
    for rule in RULES.iterdir():
        (files / rule.name).write_text(rule.read_text())
    (files / "85-test.rules").write_text(USB)
    told = uplink.desired_files(Role.MASTER, config.Config(RDV, master=master))[uplink.HANDS_OFF]
    (files / uplink.HANDS_OFF.name).write_text(told or "")
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", _SCRIPT, "sh"]
    argv += [str(base_root()), str(space), str(files)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    states = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert {name for name in ("eth0", *ADAPTERS) if states[name] != "unmanaged"} == managed
