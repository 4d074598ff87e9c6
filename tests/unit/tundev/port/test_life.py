"""What the technician's port is, by what is known of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tundev.contract import PortState
from tundev.port import life
from tundev.port.adapters import Adapter
from tundev.port.life import Facts, Loan
from vtunlib.tunnel import TunnelMode

ADAPTER = Adapter((7, 1), "eth1", "02:00:00:00:00:01", "r8152", "Some adapter", up=True, carrier=True)
READY = Facts(ADAPTER, linked=True, checked=True)
LOAN = Loan(":1.7", TunnelMode.L3)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts(), PortState.ABSENT),
        (Facts(checked=True, linked=True, loan=LOAN), PortState.ABSENT),
        (Facts(ADAPTER), PortState.NO_CABLE),
        (replace(READY, linked=False, loan=LOAN), PortState.NO_CABLE),
        (Facts(ADAPTER, linked=True), PortState.CHECKING),
        (READY, PortState.READY),
        (replace(READY, loan=LOAN), PortState.BORROWED),
        (replace(READY, stranger="another DHCP server"), PortState.REFUSED),
        (replace(READY, stranger="another DHCP server", loan=LOAN), PortState.REFUSED),
        (replace(READY, loan=replace(LOAN, over=True)), PortState.CHECKING),
        (replace(READY, claimed=True), PortState.CHECKING),
    ],
)
def test_the_state_follows_from_the_facts(facts: Facts, state: PortState) -> None:
    assert life.next_state(facts) is state


def test_a_session_gets_a_port_that_is_ready_and_no_other() -> None:
    assert life.may_borrow(READY)
    lent = replace(READY, loan=LOAN)
    unready = [Facts(), Facts(ADAPTER), replace(READY, checked=False), replace(READY, stranger="x"), lent]
    assert not [facts for facts in unready if life.may_borrow(facts)]


def test_a_session_that_had_it_from_the_watcher_before_gets_it_unlooked_at() -> None:
    claimed = Facts(ADAPTER, linked=True, claimed=True)
    assert life.may_borrow(claimed)
    assert not life.may_borrow(replace(claimed, linked=False))
    assert not life.may_borrow(Facts(claimed=True))


def test_why_it_is_gone_is_told_in_words() -> None:
    assert life.why_removed(PortState.ABSENT, Facts()) == "the adapter was unplugged"
    assert life.why_removed(PortState.NO_CABLE, Facts(ADAPTER)) == "the cable of the adapter was pulled"
    another = Facts(ADAPTER, linked=True, loan=replace(LOAN, over=True))
    assert life.why_removed(PortState.CHECKING, another) == "the adapter was unplugged"
    assert life.why_removed(PortState.CHECKING, replace(another, loan=None)).endswith("looked at anew")
    refused = replace(READY, stranger="another DHCP server, 192.168.1.1")
    assert life.why_removed(PortState.REFUSED, refused) == "another DHCP server, 192.168.1.1"


@pytest.mark.parametrize(
    ("away", "replugged", "stays"),
    [
        (0.0, None, True),
        (2.9, None, True),
        (3.0, None, False),
        (4.0, 4.0, True),
        (14.0, 14.0, True),
        (15.0, 15.0, False),
        (3.5, 60.0, False),
        (0.5, 60.0, True),
    ],
)
def test_a_link_may_be_away_for_the_grace_and_longer_after_our_own_replug(
    away: float, replugged: float | None, stays: bool
) -> None:
    assert (life.patience(away=away, grace=3.0, replugged=replugged) > 0) is stays
