"""Desired network state comes, stays, changes and goes, in a real kernel."""

from __future__ import annotations

import grp
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from tests.netns.attach import attach
from tests.netns.conftest import MakeNamespace, ip, open_descriptors
from vtunlib.errors import NotFound, RdvError
from vtunlib.namespace import inside
from vtunlib.network import (
    Address,
    Bridge,
    Item,
    LinkUp,
    Network,
    NftTable,
    Port,
    Route,
    Rule,
    Sysctl,
    Tun,
    carrier,
    forget,
    rule_set,
)
from vtunlib.tunnel import TunnelMode

ROOT = Path(__file__).resolve().parents[2]
ANY = IPv4Network("0.0.0.0/0")
DROP = "chain forward { type filter hook forward priority 0; policy drop; }"
ACCEPT = "chain forward { type filter hook forward priority 0; policy accept; }"
MAC = "02:00:00:00:00:01"

ALL: list[Item] = [
    LinkUp("lo"),
    Tun("onsite", TunnelMode.L3),
    Tun("master", TunnelMode.L2, 1400),
    Bridge("join", MAC),
    Port("master", "join"),
    Address("onsite", IPv4Interface("10.0.0.1/30")),
    Route(ANY, link="onsite"),
    Route(ANY, table=7001, type="unreachable", metric=900),
    Route(IPv4Network("10.9.0.0/16"), gateway=IPv4Address("10.0.0.2"), table=7001),
    Rule(100, iif="join", table=7001),
    Rule(101, to=IPv4Network("10.9.0.0/16"), table=7001),
    NftTable("inet", "rdv", DROP),
    Sysctl("net.ipv4.ip_forward", "1"),
]


@pytest.fixture
def namespace(make_namespace: MakeNamespace) -> str:
    """A namespace whose loopback was up once: the kernel gives it an address then that stays."""
    name = make_namespace()
    ip("link", "set", "lo", "up", namespace=name)
    ip("link", "set", "lo", "down", namespace=name)
    return name


def links(namespace: str) -> dict[str, dict[str, Any]]:
    shown = json.loads(ip("-j", "-d", "link", "show", namespace=namespace))
    return {link["ifname"]: link for link in shown}


def nft(namespace: str, *words: str) -> str:
    argv = ["ip", "netns", "exec", namespace, "nft", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def forwarding(namespace: str) -> str:
    argv = ["ip", "netns", "exec", namespace, "cat", "/proc/sys/net/ipv4/ip_forward"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def state(namespace: str) -> str:
    """All that the tests set, without what counts packets or time."""
    kept = ("ifname", "flags", "mtu", "address", "master", "link_type")
    shown = [{key: link.get(key) for key in kept} for link in links(namespace).values()]
    parts = [
        json.dumps(shown),
        ip("-4", "-o", "address", namespace=namespace),
        ip("-4", "route", "show", "table", "all", namespace=namespace),
        ip("-4", "rule", namespace=namespace),
        nft(namespace, "list", "ruleset"),
        forwarding(namespace),
    ]
    return "\n".join(parts)


class Events:
    """What the kernel tells of changes in a namespace."""

    # RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE; NFNLGRP_NFTABLES
    _GROUPS = ((socket.NETLINK_ROUTE, 0x1 | 0x10 | 0x40 | 0x80), (12, 1 << 6))

    def __init__(self) -> None:
        self.sockets = []
        for protocol, groups in self._GROUPS:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
            sock.setblocking(False)
            sock.bind((0, groups))
            self.sockets.append(sock)

    def take(self) -> int:
        """How many there were since the last time."""
        count = 0
        for sock in self.sockets:
            try:
                while sock.recv(65536):
                    count += 1
            except BlockingIOError:
                pass
        return count

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


@contextmanager
def events(namespace: str) -> Iterator[Events]:
    watching = inside(namespace, Events)
    try:
        yield watching
    finally:
        watching.close()


def test_all_comes_and_all_goes(namespace: str) -> None:
    before = state(namespace)
    network = Network(namespace)
    network.set(ALL)
    shown = links(namespace)
    assert shown["onsite"]["linkinfo"]["info_data"]["type"] == "tun"
    assert shown["onsite"]["linkinfo"]["info_data"]["persist"] is True
    assert (shown["onsite"]["mtu"], shown["master"]["mtu"]) == (1500, 1400)
    assert shown["master"]["linkinfo"]["info_data"]["type"] == "tap"
    assert shown["master"]["master"] == "join"
    assert shown["join"]["address"] == MAC
    assert shown["join"]["linkinfo"]["info_data"]["stp_state"] == 0
    assert shown["join"]["linkinfo"]["info_data"]["forward_delay"] == 0
    assert shown["join"]["linkinfo"]["info_data"]["mcast_snooping"] == 0
    assert all("UP" in shown[name]["flags"] for name in ("lo", "onsite", "master", "join"))
    assert "10.0.0.1/30" in ip("address", "show", "onsite", namespace=namespace)
    main = ip("route", "show", "table", "main", namespace=namespace)
    assert "default dev onsite" in main
    routes = ip("route", "show", "table", "7001", namespace=namespace)
    assert "unreachable default" in routes
    assert "metric 900" in routes
    assert "10.9.0.0/16 via 10.0.0.2 dev onsite" in routes
    rules = ip("rule", namespace=namespace)
    assert "100:\tfrom all iif join lookup 7001" in rules
    assert "101:\tfrom all to 10.9.0.0/16 lookup 7001" in rules
    assert "policy drop" in nft(namespace, "list", "table", "inet", "rdv")
    assert forwarding(namespace) == "1"
    assert network.items == tuple(ALL)
    network.clear()
    assert state(namespace) == before
    assert network.items == ()
    network.clear()


def test_repeating_it_changes_nothing_and_makes_no_event(namespace: str) -> None:
    network = Network(namespace)
    network.set(ALL)
    with events(namespace) as watching:
        # The kernel tells of carriers up to a second late; a repetition that
        # made events of its own would never be a silent one.
        ends = time.monotonic() + 10
        while time.monotonic() < ends:
            watching.take()
            network.set(ALL)
            Network(namespace).set(ALL)  # nor does a successor that remembers nothing
            if watching.take() == 0:
                break
        else:
            pytest.fail("each repetition changed something")
        network.set(ALL[:-1])
        network.set([*ALL[:5], *ALL[6:]])
        assert watching.take() > 0


def test_what_is_wanted_no_more_goes_the_rest_stays(namespace: str) -> None:
    network = Network(namespace)
    network.set(ALL)
    index = links(namespace)["onsite"]["ifindex"]
    network.set([Tun("onsite", TunnelMode.L3), Address("onsite", IPv4Interface("10.0.0.1/30"))])
    assert set(links(namespace)) == {"lo", "onsite"}
    assert links(namespace)["onsite"]["ifindex"] == index
    assert nft(namespace, "list", "ruleset") == ""
    assert forwarding(namespace) == "0"
    assert "7001" not in ip("rule", namespace=namespace)


def test_what_someone_took_away_comes_back(namespace: str) -> None:
    network = Network(namespace)
    network.set(ALL)
    ip("link", "delete", "onsite", namespace=namespace)
    ip("link", "set", "dev", "master", "nomaster", "down", namespace=namespace)
    nft(namespace, "delete", "table", "inet", "rdv")
    network.set(ALL)
    assert "10.0.0.1/30" in ip("address", "show", "onsite", namespace=namespace)
    assert "default dev onsite" in ip("route", namespace=namespace)
    assert links(namespace)["master"]["master"] == "join"
    assert "policy drop" in nft(namespace, "list", "ruleset")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Tun("a", TunnelMode.L3, 1500), Tun("a", TunnelMode.L3, 1400)),
        (Bridge("a", MAC), Bridge("a", "02:00:00:00:00:02")),
    ],
)
def test_a_changed_link_is_changed_in_place(namespace: str, old: Item, new: Item) -> None:
    network = Network(namespace)
    network.set([old])
    index = links(namespace)["a"]["ifindex"]
    network.set([new])
    link = links(namespace)["a"]
    assert link["ifindex"] == index
    assert (link["mtu"], link.get("address")) in ((1400, None), (1500, "02:00:00:00:00:02"))


def test_a_device_of_the_other_mode_is_replaced(namespace: str) -> None:
    network = Network(namespace)
    network.set([Tun("leg", TunnelMode.L3)])
    network.set([Tun("leg", TunnelMode.L2)])
    assert links(namespace)["leg"]["linkinfo"]["info_data"]["type"] == "tap"
    network.set([Bridge("leg")])
    assert links(namespace)["leg"]["linkinfo"]["info_kind"] == "bridge"


def test_only_the_group_of_a_device_may_attach_to_it(namespace: str) -> None:
    """tun(4): without CAP_NET_ADMIN, and without a group anybody may."""
    network = Network(namespace)
    program = "import sys; from tests.netns.attach import attach; attach('leg', sys.argv[1])"
    group = str(grp.getgrnam("nogroup").gr_gid)

    def attaches(*identity: str) -> bool:
        who = ["setpriv", "--reuid=nobody", *identity, "--bounding-set=-all", "--inh-caps=-all"]
        argv = ["ip", "netns", "exec", namespace, *who, "/usr/bin/python3", "-c", program, "L3"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0 or "PermissionError" in done.stderr, done.stderr
        return done.returncode == 0

    stranger, member = ["--regid=daemon", "--clear-groups"], ["--regid=daemon", f"--groups={group}"]
    network.set([Tun("leg", TunnelMode.L3)])
    assert attaches(*stranger)
    network.set([Tun("leg", TunnelMode.L3, group="nogroup")])
    assert not attaches(*stranger) and attaches(*member)
    index = links(namespace)["leg"]["ifindex"]
    network.set([Tun("leg", TunnelMode.L3, group="nogroup")])
    assert links(namespace)["leg"]["ifindex"] == index
    with pytest.raises(RdvError, match="no group"):
        network.set([Tun("leg", TunnelMode.L3, group="no-such-group")])


def test_a_changed_route_replaces_the_old_one(namespace: str) -> None:
    legs: list[Item] = [Tun("a", TunnelMode.L3), Tun("b", TunnelMode.L3)]
    network = Network(namespace)
    network.set([*legs, Route(ANY, link="a")])
    network.set([*legs, Route(ANY, link="b")])
    assert ip("route", namespace=namespace).split()[:3] == ["default", "dev", "b"]
    assert len(ip("route", namespace=namespace).splitlines()) == 1
    network.set([*legs, Route(ANY, type="unreachable")])
    assert ip("route", namespace=namespace).startswith("unreachable default")


def test_rules_of_a_table_change_in_one_transaction(namespace: str) -> None:
    network = Network(namespace)
    network.set([NftTable("inet", "rdv", DROP)])
    with pytest.raises(RdvError, match="nftables"):
        network.set([NftTable("inet", "rdv", "chain forward { this is no rule }")])
    assert "policy drop" in nft(namespace, "list", "ruleset")  # the old rules hold until new ones do
    network.set([NftTable("inet", "rdv", ACCEPT)])
    assert "policy accept" in nft(namespace, "list", "ruleset")


def test_the_rule_set_has_the_tables_of_all(namespace: str) -> None:
    nft(namespace, "add table ip theirs")
    Network(namespace).set([NftTable("inet", "rdv", DROP)])
    tables = [entry["table"]["name"] for entry in inside(namespace, rule_set) if "table" in entry]
    assert sorted(tables) == ["rdv", "theirs"]


def test_a_table_of_someone_else_stays(namespace: str) -> None:
    nft(namespace, "add table inet other")
    nft(namespace, "add table ip rdv")
    network = Network(namespace)
    network.set([NftTable("inet", "rdv", DROP)])
    network.clear()
    assert nft(namespace, "list", "tables").splitlines() == ["table inet other", "table ip rdv"]


def test_a_table_left_by_a_former_process_with_other_rules_is_replaced(namespace: str) -> None:
    nft(namespace, "add table inet rdv; add chain inet rdv old")
    Network(namespace).set([NftTable("inet", "rdv", DROP)])
    assert "old" not in nft(namespace, "list", "ruleset")


def test_a_parameter_gets_its_former_value_back(namespace: str) -> None:
    network = Network(namespace)
    network.set([Sysctl("net.ipv4.ip_default_ttl", "99")])
    network.set([Sysctl("net.ipv4.ip_default_ttl", "98")])
    network.clear()
    argv = ["ip", "netns", "exec", namespace, "sysctl", "-n", "net.ipv4.ip_default_ttl"]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip() == "64"


def test_a_parameter_that_is_not_there_is_told(namespace: str) -> None:
    with pytest.raises(RdvError, match=r"cannot read net\.ipv4\.nonsense"):
        Network(namespace).set([Sysctl("net.ipv4.nonsense", "1")])


def test_a_link_of_someone_else_goes_down_only_if_it_was(namespace: str) -> None:
    ip("link", "add", "was-down", "type", "bridge", namespace=namespace)
    ip("link", "add", "was-up", "type", "bridge", namespace=namespace)
    ip("link", "set", "was-up", "up", namespace=namespace)
    network = Network(namespace)
    for _ in range(2):
        network.set([LinkUp("was-down"), LinkUp("was-up")])
    network.clear()
    assert "UP" not in links(namespace)["was-down"]["flags"]
    assert "UP" in links(namespace)["was-up"]["flags"]


def test_what_a_dead_process_left_can_be_forgotten(namespace: str) -> None:
    before = state(namespace)
    pid = os.fork()
    if pid == 0:
        Network(namespace).set(ALL)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert state(namespace) != before
    leftovers = [*ALL[1:-1], Sysctl("net.ipv4.ip_forward", "1", otherwise="0")]
    forget(leftovers, namespace)
    ip("link", "set", "lo", "down", namespace=namespace)  # whose former state nobody knows
    assert state(namespace) == before
    forget(leftovers, namespace)


def test_what_was_adopted_and_is_wanted_no_more_goes(namespace: str) -> None:
    Network(namespace).set(ALL)
    network = Network(namespace)
    network.adopt(ALL)
    network.set([LinkUp("lo")])
    assert set(links(namespace)) == {"lo"}


def test_a_half_done_state_is_cleared(namespace: str) -> None:
    before = state(namespace)
    network = Network(namespace)
    with pytest.raises(RdvError, match="missing"):
        network.set([*ALL, Address("missing", IPv4Interface("10.1.0.1/24"))])
    assert state(namespace) != before
    network.clear()
    assert state(namespace) == before


def test_leaving_the_context_clears(namespace: str) -> None:
    before = state(namespace)
    with Network(namespace) as network:
        network.set(ALL)
    assert state(namespace) == before


def test_undoing_what_is_gone_is_no_error(namespace: str) -> None:
    network = Network(namespace)
    network.set(ALL)
    for name in ("onsite", "master", "join"):
        ip("link", "delete", "dev", name, namespace=namespace)
    ip("rule", "flush", namespace=namespace)
    ip("route", "flush", "table", "7001", namespace=namespace)
    nft(namespace, "flush ruleset")
    network.clear()


def test_a_namespace_that_is_gone_is_no_error_to_clear_but_one_to_set(namespace: str) -> None:
    network = Network(namespace)
    network.set(ALL)
    ip("netns", "delete", namespace)
    network.clear()
    assert network.items == ()
    with pytest.raises(NotFound):
        network.set(ALL)


def test_naming_one_thing_twice_is_refused(namespace: str) -> None:
    with pytest.raises(RdvError, match="twice"):
        Network(namespace).set([Tun("a", TunnelMode.L3), Bridge("a")])


def test_a_process_that_holds_the_device_is_not_disturbed_by_a_repetition(namespace: str) -> None:
    network = Network(namespace)
    network.set([Tun("onsite", TunnelMode.L3)])
    with inside(namespace, attach, "onsite", TunnelMode.L3):
        assert carrier(namespace, "onsite")
        network.set([Tun("onsite", TunnelMode.L3)])
        assert carrier(namespace, "onsite")
    assert not carrier(namespace, "onsite")
    assert "onsite" in links(namespace)


def test_nothing_is_left_open(namespace: str) -> None:
    network = Network(namespace)
    network.set(ALL)
    before = open_descriptors()
    for _ in range(5):
        network.set(ALL)
        network.clear()
    assert open_descriptors() == before
