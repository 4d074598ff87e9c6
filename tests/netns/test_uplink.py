"""What NetworkManager is told on each role, on interfaces of a namespace of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from tundev import config, uplink
from tundev.config_values import Server
from vtunlib.errors import Timeout
from vtunlib.namespace import inside
from vtunlib.tunnel import Role

NAMESPACE = "rdvtest-uplink"
MAC = "02:00:00:00:11:22"
RDV = config.Rdv(Server("rdv.example.com"), "rpi1100", "ssh-ed25519 AAAA")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    ip("netns", "add", NAMESPACE)
    try:
        ip("-n", NAMESPACE, "link", "add", "dummy0", "type", "bridge")
        yield NAMESPACE
    finally:
        ip("netns", "delete", NAMESPACE)


def add_wired(name: str) -> None:
    ip("-n", NAMESPACE, "link", "add", name, "address", MAC, "type", "veth", "peer", "name", "peer0")
    ip("-n", NAMESPACE, "link", "set", "peer0", "netns", NAMESPACE)


def test_the_onsites_bridge_has_its_ports_mac_and_speaks_no_spanning_tree(namespace: str) -> None:
    add_wired("eth0")
    settings = config.Config(RDV, onsite=config.Onsite(interface="eth0"))
    files = inside(namespace, uplink.desired_files, Role.ONSITE, settings)
    bridge = files[uplink.PROFILES / "tundev-lan.nmconnection"]
    port = files[uplink.PROFILES / "tundev-lan-port.nmconnection"]
    assert bridge is not None and port is not None
    assert f"cloned-mac-address={MAC}\n" in bridge
    assert "stp=false\n" in bridge
    assert "interface-name=eth0\nmaster=tundev-lan\n" in port


def test_an_interface_that_cannot_be_bridged_gets_no_bridge(namespace: str) -> None:
    settings = config.Config(RDV, onsite=config.Onsite(interface="dummy0"))
    files = inside(namespace, uplink.desired_files, Role.ONSITE, settings)
    assert set(files) == {uplink.HANDS_OFF}


def test_a_port_that_does_not_appear_is_an_error_that_names_it(namespace: str) -> None:
    with pytest.raises(Timeout, match="eth7"):
        inside(namespace, uplink.find_wired, "eth7", 0.1)


def told_of_the_port(master: config.Master) -> ConfigParser:
    """What NetworkManager is told on a master, as it reads it."""
    files = uplink.desired_files(Role.MASTER, config.Config(RDV, master=master))
    text = files[uplink.HANDS_OFF]
    parser = ConfigParser(delimiters="=")
    parser.read_string(text or "")
    return parser


def test_networkmanager_keeps_its_hands_off_the_port_that_is_named_and_has_the_adapters() -> None:
    told = told_of_the_port(config.Master(interface="eth1"))
    assert told["keyfile"]["unmanaged-devices+"] == "interface-name:eth1"
    others = told["device-tundev-others"]
    assert others["match-device"] == "interface-name:e*,except:interface-name:eth1"
    assert others["managed"] == "1"


def test_networkmanager_has_the_uplink_that_is_named_whatever_it_is() -> None:
    told = told_of_the_port(config.Master(uplink="enx1"))
    assert told.sections() == ["device-tundev-uplink"]
    assert told["device-tundev-uplink"]["match-device"] == "interface-name:enx1"
    both = told_of_the_port(config.Master(interface="eth1", uplink="enx1"))
    assert both.sections() == ["keyfile", "device-tundev-others", "device-tundev-uplink"]


def test_networkmanager_is_told_nothing_where_the_udev_rule_says_it_all() -> None:
    assert told_of_the_port(config.Master()).sections() == []


def test_no_path_of_the_files_is_outside_run() -> None:
    assert all(Path("/run") in path.parents for path in uplink.desired_files(Role.MASTER, config.Config(RDV)))
