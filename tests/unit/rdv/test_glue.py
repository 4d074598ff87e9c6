"""What a session's namespace is to hold."""

from __future__ import annotations

import re

import pytest

from rdv.access.reach import ALL, LAN, Reach, parse
from rdv.sessions import glue
from tests.unit.rdv.sessions import session
from vtunlib.network import Address, Bridge, NftTable, Port, Route, Rule, Tun
from vtunlib.tunnel import TunnelMode


@pytest.mark.parametrize("mode", list(TunnelMode))
@pytest.mark.parametrize("reach", [ALL, LAN])
def test_no_packet_passes_before_the_rules_are_there(mode: TunnelMode, reach: Reach) -> None:
    items = glue.desired(session(mode, reach))
    tables = [item for item in items if isinstance(item, NftTable)]
    rest = items[len(tables) :]
    assert tables and not [item for item in rest if isinstance(item, NftTable)]
    assert [(item.name, item.mode) for item in rest if isinstance(item, Tun)] == [
        ("onsite", mode),
        ("master", mode),
    ]


def test_routed_each_leg_has_the_rdv_s_address_and_the_world_is_behind_the_onsite() -> None:
    items = glue.desired(session())
    legs = {item.link: item.interface for item in items if isinstance(item, Address)}
    assert legs == {
        "onsite": session().onsite.parameters.rdv_interface,
        "master": session().master.parameters.rdv_interface,
    }
    routes = {item.table: item.link for item in items if isinstance(item, Route)}
    assert routes == {254: "master", 101: "onsite", 100: "master"}
    assert {item.iif: item.table for item in items if isinstance(item, Rule)} == {
        "master": 101,
        "onsite": 100,
    }


def test_bridged_there_is_a_bridge_with_two_ports_and_no_address() -> None:
    items = glue.desired(session(TunnelMode.L2))
    bridges = [item.name for item in items if isinstance(item, Bridge)]
    assert bridges == ["join"]
    assert {(item.link, item.bridge) for item in items if isinstance(item, Port)} == {
        ("onsite", "join"),
        ("master", "join"),
    }
    assert not [item for item in items if isinstance(item, (Address, Route))]


def test_only_the_master_s_side_may_begin_and_neither_reaches_the_rdv() -> None:
    table = glue.desired(session())[0]
    assert isinstance(table, NftTable)
    chains = dict(re.findall(r"chain (\w+) \{(.*?)\n  \}", table.text, re.S))
    assert "policy drop" in chains["forward"] and "policy drop" in chains["input"]
    beginning = [line for line in chains["forward"].splitlines() if re.search(r"\bnew\b", line)]
    assert len(beginning) == 1 and 'iifname "master" oifname "onsite"' in beginning[0]
    assert [line.strip() for line in chains["input"].splitlines() if "accept" in line] == [
        "ct state established icmp type echo-reply accept"
    ]


def test_bridged_frames_of_a_session_that_may_reach_all_meet_no_rule_whatever_they_carry() -> None:
    table, *rest = glue.desired(session(TunnelMode.L2))
    assert not [item for item in rest if isinstance(item, NftTable)]
    assert isinstance(table, NftTable)
    # br_netfilter sends bridged packets through these hooks, and connection tracking would defragment them.
    assert "hook forward" not in table.text and "ct state" not in table.text


@pytest.mark.parametrize("reach", [LAN, parse(["10.0.0.0/8 443/tcp"])])
def test_bridged_frames_are_filtered_in_the_bridge_s_own_family_without_connection_tracking(
    reach: Reach,
) -> None:
    tables = [item for item in glue.desired(session(TunnelMode.L2, reach)) if isinstance(item, NftTable)]
    assert [(table.family, "hook forward" in table.text) for table in tables] == [
        ("inet", False),
        ("bridge", True),
    ]
    assert not [table for table in tables if re.search(r"\bct\b", table.text)]
