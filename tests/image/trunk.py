"""A socket that has the customer's LAN as a VLAN, tagged, and nobody in the untagged network.

The switch is in the guest itself, in a network namespace: the guest's kernel has VLANs, which that
of a build server may not. The guest's own card is one port of it, the other is the socket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.image.device import DEADLINE, Device
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tundev.paths import CONFIG, LAN_BRIDGE

_SWITCH = "trunk"
_SOCKET, _PORT = "uplink0", "port"


@contextmanager
def in_vlan(lab: Lab, onsite: Device, number: int) -> Iterator[None]:
    """The onsite is online through that VLAN; afterwards through its own card again."""
    guest = onsite.guest
    former = guest.run(["cat", str(CONFIG)]).out
    links = json.loads(guest.run(["ip", "-json", "link"]).out)
    (card,) = (link["ifname"] for link in links if link.get("master") == LAN_BRIDGE)
    tagged = f"{_PORT}.{number}"
    plug = (
        f"link add lan type bridge stp_state 0 forward_delay 0\n"
        f"link add link {_PORT} name {tagged} type vlan id {number}\n"
        f"link set {card} master lan\nlink set {tagged} master lan\n"
        + "".join(f"link set {link} up\n" for link in ("lan", card, _PORT, tagged))
    )
    with _moved(lab, onsite):
        for line in (
            f"netns add {_SWITCH}",
            f"link set {card} netns {_SWITCH}",
            f"link add {_SOCKET} type veth peer name {_PORT} netns {_SWITCH}",
        ):
            guest.run(["ip", *line.split()])
        guest.run(["ip", "-n", _SWITCH, "-batch", "-"], stdin=plug)
        _write(onsite, f"{former}\n[uplink.ethernet]\nvlan = {number}\n")
    try:
        yield
    finally:
        with _moved(lab, onsite):
            guest.run(["ip", "-n", _SWITCH, "link", "set", card, "netns", "1"])
            guest.run(["ip", "link", "delete", _SOCKET])
            guest.run(["ip", "netns", "delete", _SWITCH])
            _write(onsite, former)


@contextmanager
def _moved(lab: Lab, onsite: Device) -> Iterator[None]:
    """What is done in the block is taken over without the agent, which is online again at its end."""
    guest = onsite.guest
    guest.run(["systemctl", "stop", "onsitedev.service"], deadline=DEADLINE)
    wait_until(lambda: onsite.account not in lab.online(), what="offline", deadline=DEADLINE, every=0.5)
    yield
    guest.run(["systemctl", "restart", "tundev-uplink@onsite.service"], deadline=DEADLINE)
    guest.run(["systemctl", "start", "onsitedev.service"], deadline=DEADLINE)
    lab.wait_online([onsite.account], deadline=DEADLINE)


def _write(onsite: Device, text: str) -> None:
    onsite.guest.run(["tee", str(CONFIG)], stdin=text)
