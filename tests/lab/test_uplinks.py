"""What tundev.toml says of the uplinks, in effect: NetworkManager has it, and the device comes online by it.

A VLAN and Wi-Fi need what this machine's kernel may not have: tests/soak/test_uplinks.py.
"""

from __future__ import annotations

import json

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.test_wrong_input import CONFIG, configured, status
from tundev.states import State
from tundev.uplink import PROFILES
from vtunlib.errors import ConfigError

UNIT = {"onsite": "tundev-uplink@onsite.service", "master": "tundev-uplink@master.service"}


def address(machine: Machine, interface: str) -> list[str]:
    """Its IPv4 addresses there, with their prefix."""
    told = machine.run(["ip", "-json", "-4", "address", "show", "dev", interface]).out
    return [
        f"{found['local']}/{found['prefixlen']}" for link in json.loads(told) for found in link["addr_info"]
    ]


def default_route(machine: Machine) -> dict[str, object]:
    """The one that goes before the others."""
    routes = json.loads(machine.run(["ip", "-json", "-4", "route", "show", "default"]).out)
    return min(routes, key=lambda route: route.get("metric", 0))


def connections(machine: Machine) -> dict[str, str]:
    """The active connections by the interface that each is on."""
    told = machine.run(["nmcli", "--terse", "--fields", "DEVICE,NAME", "connection", "show", "--active"]).out
    return dict(line.split(":", 1) for line in told.splitlines())


def wait_connected(machine: Machine, own: str) -> None:
    """Until its agent is connected with this address of its own."""

    def connected() -> bool:
        found = status(machine)
        return found.get("state") == State.SSH_CONNECTION_OK and found.get("address") == own

    wait_until(connected, what=f"{machine.name} connected as {own}", deadline=60.0, every=0.2)


def test_devices_come_online_with_a_fixed_address_and_by_dhcp_again(lab: Lab) -> None:
    for machine, role, interface, name in (
        (lab.onsite, "onsite", "tundev-lan", "tundev-lan"),
        (lab.master, "master", "eth0", "tundev-ethernet"),
    ):
        by_dhcp = address(machine, interface)
        lan = (lab.plan.sites[0] if role == "onsite" else lab.plan.desks[0]).lan
        before = machine.run(["cat", CONFIG]).out
        fixed = (
            f'[uplink]\norder = ["wifi"]\n[uplink.ethernet]\naddress = "{lan.at(77)}"\n'
            f'gateway = "{lan.router.ip}"\ndns = ["{lan.router.ip}"]\n'
            '[uplink.wifi]\nssid = "nowhere"\npsk = "no such network"\n'
        )
        assert connections(machine)[interface] == name
        with configured(machine, f"{before}\n{fixed}"):
            machine.run(["systemctl", "restart", UNIT[role]])
            wait_until(lambda: address(machine, interface) == [str(lan.at(77))], what="the fixed address")
            # Wi-Fi is preferred, and there is none.
            route = default_route(machine)
            assert (route["dev"], route["gateway"], route["metric"]) == (interface, str(lan.router.ip), 200)
            wait_connected(machine, str(lan.at(77)))
        with configured(machine, f'{before}\n[uplink]\norder = "wifi"\n'):
            failed = machine.run(["/usr/lib/tundev/uplink", role], check=False)
            assert (failed.code, "[uplink] order: expected a list" in failed.err) == (
                ConfigError.exit_code,
                True,
            )
            assert address(machine, interface) == [str(lan.at(77))]
        machine.run(["systemctl", "restart", UNIT[role]])
        wait_until(lambda: address(machine, interface) == by_dhcp, what="its address by DHCP")
        assert default_route(machine)["metric"] == 100
        assert "tundev-wifi" not in machine.run(["ls", str(PROFILES)]).out
        wait_connected(machine, by_dhcp[0])
