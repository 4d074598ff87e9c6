"""What Debian's NetworkManager makes of our connections, and with udev of a master's interfaces.

Not in a machine of the lab: NetworkManager does not ask udev there, for /sys is read-only.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lab.base import base_root
from tests.netns.udev import RULES
from tests.unit.tundev.uplinks.test_profiles import FIXED, IN_VLAN, PORT, sections
from tundev import config, uplink
from tundev.config import Master
from tundev.config_values import Server
from tundev.uplinks import profiles
from tundev.uplinks.values import SSID_LIMIT
from tundev.uplinks.wanted import Modem, Uplink, Wifi
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


def as_networkmanager_has_it(text: str) -> tuple[dict[str, dict[str, str]], str]:
    """What NetworkManager's own parser makes of a connection's file, and what it complains of."""
    argv = ["chroot", str(base_root()), "nmcli", "--offline", "connection", "modify", "connection.zone", "x"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    return sections(done.stdout), done.stderr


def as_networkmanager_writes_it(*words: str) -> dict[str, dict[str, str]]:
    """A connection that it makes of words."""
    argv = ["chroot", str(base_root()), "nmcli", "--offline", "connection", "add", "con-name", "x", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=True)
    return sections(done.stdout)


CONNECTIONS = [
    profiles.of_onsite(
        Uplink(wifi=Wifi("a", "12345678", hidden=True), modem=Modem("a", "b", "c", "0000")), PORT
    ),
    profiles.of_onsite(Uplink(ethernet=FIXED), PORT),
    profiles.of_onsite(Uplink(ethernet=IN_VLAN, modem=Modem("a", "b")), PORT),
    profiles.of_master(Uplink(wifi=Wifi("open"), modem=Modem("a")), None),
    profiles.of_master(Uplink(ethernet=FIXED), "eth1"),
    profiles.of_master(Uplink(ethernet=IN_VLAN), None),
]


@pytest.mark.parametrize("connections", CONNECTIONS, ids=" ".join)
def test_networkmanager_takes_each_connection_whole(connections: dict[str, str]) -> None:
    for name, text in connections.items():
        found, complaint = as_networkmanager_has_it(text)
        assert complaint == "", name
        for section, keys in sections(text).items():
            lost = {key: value for key, value in keys.items() if key not in found.get(section, {})}
            assert lost == {}, (name, section)


# libnm as a program links it; Debian's Python binding of it is not on a device.
_NEEDS = """\
import ctypes, sys
libnm, glib = ctypes.CDLL("libnm.so.0"), ctypes.CDLL("libglib-2.0.so.0")
pointer, text = ctypes.c_void_p, sys.stdin.buffer.read()
glib.g_key_file_new.restype = libnm.nm_keyfile_read.restype = pointer
glib.g_key_file_load_from_data.argtypes = [pointer, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int, pointer]
libnm.nm_keyfile_read.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int, pointer, pointer, pointer]
libnm.nm_connection_need_secrets.argtypes = [pointer, pointer]
libnm.nm_connection_need_secrets.restype = ctypes.c_char_p
file = glib.g_key_file_new()
assert glib.g_key_file_load_from_data(file, text, len(text), 0, None)
connection = libnm.nm_keyfile_read(file, b"/", 0, None, None, None)
assert connection
print((libnm.nm_connection_need_secrets(connection, None) or b"").decode())
"""


@pytest.mark.parametrize("connections", CONNECTIONS, ids=" ".join)
def test_networkmanager_waits_for_no_secret_that_nobody_types(connections: dict[str, str]) -> None:
    argv = ["chroot", str(base_root()), "/usr/bin/python3", "-c", _NEEDS]
    for name, text in connections.items():
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=SECONDS, check=True)
        assert done.stdout == "\n", name


@settings(max_examples=60, deadline=None)
@given(
    ssid=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1).filter(
        lambda text: len(text.encode()) <= SSID_LIMIT
    ),
    psk=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=63),
)
def test_networkmanager_reads_any_name_and_passphrase_of_wifi_as_they_are(ssid: str, psk: str) -> None:
    text = profiles.of_master(Uplink(wifi=Wifi(ssid, psk)), None)["tundev-wifi"]
    found, complaint = as_networkmanager_has_it(text)
    words = ["type", "wifi", "ssid", ssid, "wifi-sec.key-mgmt", "wpa-psk", "wifi-sec.psk", psk]
    own = as_networkmanager_writes_it(*words)
    assert complaint == ""
    assert found["wifi"]["ssid"] == own["wifi"]["ssid"]
    assert found["wifi-security"]["psk"] == own["wifi-security"]["psk"]
