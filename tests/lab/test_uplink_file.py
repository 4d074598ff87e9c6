"""What tundev.toml says of the uplinks, in effect: NetworkManager has it, and the device comes online by it.

Wi-Fi needs what this machine's kernel may not have: tests/soak/test_uplinks.py. So does a VLAN (8021q):
that traffic passes in one is in tests/image/test_devices.py.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Interface
from typing import Any

from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.test_uplinks import cable_pulled, hang_up
from tests.lab.test_wrong_input import CONFIG, configured, status
from tests.lab.topology import RDV_NAME, Lan
from tundev.paths import LAN_BRIDGE
from tundev.states import State
from tundev.uplink import PROFILES
from tundev.uplinks.wanted import Kind, connection
from vtunlib.errors import ConfigError
from vtunlib.tunnel import Role

WATCH = "tundev-uplink-watch"


def address(machine: Machine, interface: str) -> list[str]:
    """Its IPv4 addresses there, with their prefix."""
    told = machine.run(["ip", "-json", "-4", "address", "show", "dev", interface]).out
    return [
        f"{found['local']}/{found['prefixlen']}" for link in json.loads(told) for found in link["addr_info"]
    ]


def default_route(machine: Machine) -> dict[str, Any]:
    """The one that goes before the others."""
    routes = json.loads(machine.run(["ip", "-json", "-4", "route", "show", "default"]).out)
    return min(routes, key=lambda route: route.get("metric", 0))


def connections(machine: Machine) -> dict[str, str]:
    """The active connections by the interface that each is on."""
    told = machine.run(["nmcli", "--terse", "--fields", "DEVICE,NAME", "connection", "show", "--active"]).out
    return dict(line.split(":", 1) for line in told.splitlines())


def metric(machine: Machine, role: Role) -> int:
    """What the wired uplink's connection asks for; while it is held its routes have another."""
    words = ["--get-values", "ipv4.route-metric", "connection", "show", connection(Kind.ETHERNET, role)]
    return int(machine.run(["nmcli", *words]).out)


def wait_connected(machine: Machine, own: str) -> None:
    """Until its agent is connected with this address of its own."""

    def connected() -> bool:
        found = status(machine)
        return found.get("state") == State.SSH_CONNECTION_OK and found.get("address") == own

    wait_until(connected, what=f"{machine.name} connected as {own}", deadline=60.0, every=0.2)


def take_over(machine: Machine, role: Role) -> None:
    """Have the changed file take effect; without the agent, whose connection the RDV would keep a while."""
    machine.run(["systemctl", "stop", f"{role}dev.service"])
    machine.run(["systemctl", "restart", f"tundev-uplink@{role}.service"])
    machine.run(["systemctl", "start", f"{role}dev.service"])


def fixed_and_by_dhcp_again(machine: Machine, role: Role, interface: str, lan: Lan) -> None:
    by_dhcp, fixed = address(machine, interface), str(lan.at(77))
    before = machine.run(["cat", CONFIG]).out
    told = (
        f'[uplink]\norder = ["wifi"]\n[uplink.ethernet]\naddress = "{fixed}"\n'
        f'gateway = "{lan.router.ip}"\ndns = ["{lan.router.ip}"]\n'
        '[uplink.wifi]\nssid = "nowhere"\npsk = "no such network"\n'
    )
    assert connections(machine)[interface] == connection(Kind.ETHERNET, role)
    with configured(machine, f"{before}\n{told}"):
        take_over(machine, role)
        wait_until(lambda: address(machine, interface) == [fixed], what="the fixed address")
        # Wi-Fi is preferred, and there is none.
        route = default_route(machine)
        assert (route["dev"], route["gateway"]) == (interface, str(lan.router.ip))
        assert metric(machine, role) == 200
        wait_connected(machine, fixed)
    with configured(machine, f'{before}\n[uplink]\norder = "wifi"\n'):
        failed = machine.run(["/usr/lib/tundev/uplink", role], check=False)
        assert (failed.code, "[uplink] order: expected a list" in failed.err) == (ConfigError.exit_code, True)
        assert address(machine, interface) == [fixed]
    take_over(machine, role)
    wait_until(lambda: address(machine, interface) == by_dhcp, what="its address by DHCP")
    assert metric(machine, role) == 100
    assert "tundev-wifi" not in machine.run(["ls", str(PROFILES)]).out
    wait_connected(machine, by_dhcp[0])


def seen_cut(machine: Machine) -> bool:
    """Whether the last that its watch tells is that there is no uplink."""
    return "the uplink is none" in machine.journal(WATCH, lines=1)


def forget_cuts(lab: Lab) -> None:
    """The watch remembers how often a cable was out, and would go back to this one later in another test."""
    hang_up(lab)
    lab.onsite.run(["systemctl", "restart", WATCH])


def move_cable(lab: Lab, port: str, source: Lan, target: Lan, called: str) -> None:
    """The onsite's, out of the one network's switch and into the other's, where the port is called so."""
    away, there = lab.switches[source.name], lab.switches[target.name]
    away.ip(f"link set {port} down")
    # As long as a hand needs for that, and more: what was out for a moment it may not have seen.
    wait_until(lambda: seen_cut(lab.onsite), what="the cable is out")
    away.ip(f"link set {port} netns {there.netns} name {called}")
    there.ip(f"link set {called} master lan", f"link set {called} up")


def test_an_onsite_whose_cable_is_moved_to_another_network_has_an_address_of_that(lab: Lab) -> None:
    onsite = lab.onsite
    home, away = lab.plan.sites[0].lan, lab.plan.desks[0].lan
    (by_dhcp,) = address(onsite, LAN_BRIDGE)
    move_cable(lab, "port1", home, away, "moved")
    try:
        wait_until(
            lambda: [IPv4Interface(own).network for own in address(onsite, LAN_BRIDGE)] == [away.subnet],
            what="an address of the other network",
        )
        wait_connected(onsite, address(onsite, LAN_BRIDGE)[0])
    finally:
        move_cable(lab, "moved", away, home, "port1")
    wait_connected(onsite, by_dhcp)
    forget_cuts(lab)


def out_just_after_its_lease(lab: Lab) -> None:
    """The onsite's cable; returns when its network has been asked for an address once more."""
    onsite = lab.onsite

    def asked() -> int:
        return onsite.journal("NetworkManager", lines=9999).count('op="device-reapply"')

    before = asked()
    for name in (LAN_BRIDGE, f"{LAN_BRIDGE}-port"):
        onsite.run(["nmcli", "connection", "up", name])
    with cable_pulled(lab, 0):
        wait_until(lambda: seen_cut(onsite), what="the cable is out")
    wait_until(lambda: asked() > before, what="its network asked for an address anew")


def test_names_are_resolved_after_a_cable_that_was_out_when_its_lease_was_a_moment_old(lab: Lab) -> None:
    """NetworkManager forgets the DNS servers of a connection that is changed in its lease's very second."""
    onsite = lab.onsite
    for _ in range(3):
        out_just_after_its_lease(lab)
        wait_until(
            lambda: onsite.run(["getent", "hosts", RDV_NAME], check=False).code == 0,
            what="the RDV's name resolved",
        )
    forget_cuts(lab)


def test_devices_come_online_with_a_fixed_address_and_by_dhcp_again(lab: Lab) -> None:
    fixed_and_by_dhcp_again(lab.onsite, Role.ONSITE, "tundev-lan", lab.plan.sites[0].lan)
    fixed_and_by_dhcp_again(lab.master, Role.MASTER, "eth0", lab.plan.desks[0].lan)
