"""What a device tells of its network, from files as the system writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from socket import AF_INET

import pytest
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from tundev.lan import dns_servers, find_uplink, uplink_type
from vtunlib.tunnel import UplinkType


def resolver(path: Path, *servers: str) -> Path:
    path.write_text("# made by a program\n" + "".join(f"nameserver {server}\n" for server in servers))
    return path


def test_a_stub_resolver_on_the_device_is_no_dns_server_of_the_network(tmp_path: Path) -> None:
    stub = resolver(tmp_path / "stub", "127.0.0.53")
    real = resolver(tmp_path / "real", "192.168.1.1", "192.168.1.1", "fd00::1", "8.8.8.8")
    assert [str(server) for server in dns_servers((stub, tmp_path / "absent", real))] == [
        "192.168.1.1",
        "8.8.8.8",
    ]


def test_no_dns_server_is_an_answer(tmp_path: Path) -> None:
    assert dns_servers((resolver(tmp_path / "stub", "127.0.0.1", "junk"),)) == []


@pytest.mark.parametrize(
    ("name", "hardware", "uevent", "kind"),
    [
        ("eth0", "1", "", UplinkType.LAN),
        ("tundev-lan", "1", "DEVTYPE=bridge", UplinkType.LAN),
        ("wlan0", "1", "DEVTYPE=wlan", UplinkType.WLAN),
        ("wwan0", "65534", "DEVTYPE=wwan", UplinkType.MOBILE),
        ("ppp0", "512", "", UplinkType.MOBILE),
        ("tun0", "65534", "", UplinkType.OTHER),
    ],
)
def test_the_uplinks_type(tmp_path: Path, name: str, hardware: str, uevent: str, kind: UplinkType) -> None:
    device = tmp_path / name
    device.mkdir()
    (device / "type").write_text(f"{hardware}\n")
    (device / "uevent").write_text(f"{uevent}\nINTERFACE={name}\n")
    assert uplink_type(name, tmp_path) is kind


def test_an_uplink_that_went_away_is_of_no_type(tmp_path: Path) -> None:
    assert uplink_type("eth0", tmp_path) is UplinkType.OTHER


def link(index: int, name: str, *, kind: str | None = None, below: int = 0, bridge: int = 0) -> ifinfmsg:
    """As the kernel tells of one."""
    message = ifinfmsg()
    message["index"] = index
    told = {"IFLA_IFNAME": name, "IFLA_LINK": below or None, "IFLA_MASTER": bridge or None}
    message["attrs"] = [(key, value) for key, value in told.items() if value is not None]
    if kind is not None:
        info = ifinfmsg.ifinfo()
        info["attrs"] = [("IFLA_INFO_KIND", kind)]
        message["attrs"].append(("IFLA_LINKINFO", info))
    return message


class Links:
    """What find_uplink asks the kernel: a default route by the bridge, which has an address."""

    ADDRESS = "192.168.1.20"

    def __init__(self, *links: ifinfmsg) -> None:
        self._links = {message["index"]: message for message in links}

    def get_links(self) -> Iterable[ifinfmsg]:
        return list(self._links.values())

    def link(self, _verb: str, index: int) -> list[ifinfmsg]:
        return [self._links[index]]

    def get_default_routes(self, **_where: int) -> list[rtmsg]:
        route = rtmsg()
        route["attrs"] = [("RTA_OIF", 9)]
        return [route]

    def get_addr(self, family: int, index: int) -> list[ifaddrmsg]:
        message = ifaddrmsg()
        message["scope"], message["prefixlen"] = 0, 24
        message["attrs"] = [("IFA_LOCAL", self.ADDRESS)]
        return [message] if (family, index) == (AF_INET, 9) else []


BRIDGE = link(9, "tundev-lan", kind="bridge")


@pytest.mark.parametrize(
    ("links", "is_it"),
    [
        pytest.param([link(2, "eth0", bridge=9), BRIDGE], True, id="a port of the bridge"),
        pytest.param(
            [link(2, "eth0"), link(5, "tundev-vlan", kind="vlan", below=2, bridge=9), BRIDGE],
            True,
            id="its VLAN is a port of the bridge",
        ),
        pytest.param(
            [link(2, "eth0"), link(5, "veth0", kind="veth", below=2, bridge=9), BRIDGE],
            False,
            id="an index of elsewhere",
        ),
        pytest.param([link(2, "eth0"), link(3, "eth1", bridge=9), BRIDGE], False, id="another port"),
    ],
)
def test_an_interface_that_is_named_stands_for_the_bridge_that_it_feeds(
    links: list[ifinfmsg], is_it: bool
) -> None:
    assert (find_uplink(Links(*links), "eth0") is not None) is is_it


class Interrupted(Links):
    """A link came while the first dump was under way (NLM_F_DUMP_INTR)."""

    asked = 0

    def get_links(self) -> Iterator[ifinfmsg]:
        self.asked += 1
        yield from super().get_links()
        if self.asked == 1:
            raise NetlinkDumpInterrupted


def test_a_change_while_the_kernel_tells_ends_nothing_but_is_asked_again() -> None:
    kernel = Interrupted(link(2, "eth0", bridge=9), BRIDGE)
    assert find_uplink(kernel, "eth0") is not None
    assert kernel.asked == 2
