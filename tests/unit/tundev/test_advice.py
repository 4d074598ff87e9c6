"""What is told when something is wrong: one thing, the first that keeps a session from being had."""

from __future__ import annotations

from typing import Any

import pytest

from tundev import transport
from tundev.advice import advice
from tundev.advice_words import FAILURES
from tundev.contract import Key, PortKey, PortState
from tundev.states import State
from tundev.transport import Route
from vtunlib import errors

ONLINE: dict[str, Any] = {
    Key.ROLE: "master",
    Key.ACCOUNT: "rpi1200",
    Key.SERVER: "rdv.example.com",
    Key.STATE: State.SSH_CONNECTION_OK,
    Key.SESSION: False,
}
READY: dict[str, Any] = {PortKey.STATE: PortState.READY, PortKey.INTERFACE: "eth1"}
ABSENT: dict[str, Any] = {PortKey.STATE: PortState.ABSENT}
ALL = {
    name
    for name, kind in errors._classes(errors.RdvError).items()
    if kind.__module__ == errors.__name__  # the server has some of its own
}
OF_THE_SHELL = {
    *("RdvError", "UsageError", "ConfigError", "NotOnline", "Busy", "NotAllowed", "ModeNotPossible"),
    *("SessionFailed", "NoSession", "NotFound", "AlreadyExists", "NotRunning", "Draining"),
    "FaultFound",
}
"""Errors of a command or a session: a device is online all the same, or the message says all there is."""


def failed(kind: str, failure: str = "so it was", **more: Any) -> dict[str, Any]:
    return {**ONLINE, Key.STATE: "IP_addr_OK", Key.FAILURE: failure, Key.FAILURE_CLASS: kind, **more}


def test_nothing_is_told_where_nothing_is_wrong() -> None:
    assert advice(ONLINE, READY) is None
    assert advice({**ONLINE, "role": "onsite"}, None) is None
    borrowed = {**READY, "state": PortState.BORROWED}
    assert advice({**ONLINE, "state": State.SESSION_OK, "session": True}, borrowed) is None


def test_a_device_on_its_way_to_the_first_connection_is_left_alone() -> None:
    assert advice({**ONLINE, "state": State.RDVSERVER_TCP_OK}, READY) is None


@pytest.mark.parametrize("state", list(State)[: list(State).index(State.SSH_CONNECTION_OK)])
def test_each_state_below_online_is_told_once_it_has_failed(state: State) -> None:
    told = advice(failed("RdvUnreachable", state=state), READY)
    assert told and told.checks


@pytest.mark.parametrize("kind", sorted(ALL - OF_THE_SHELL))
def test_each_failure_of_a_connection_has_words_of_its_own(kind: str) -> None:
    told = advice(failed(kind, "by ssh: nothing came"), READY)
    assert kind in FAILURES
    assert told and "by ssh: nothing came" in told.text and told.checks
    assert not [text for text in (told.title, told.text, *told.checks) if "{" in text]


def test_no_advice_is_for_an_error_that_there_is_not() -> None:
    assert set(FAILURES) <= ALL


def test_an_error_that_nobody_foresaw_is_told_by_its_message() -> None:
    told = advice(failed("Unheard", "the moon is in the way"), READY)
    assert told and "the moon is in the way" in told.text


def test_a_name_that_no_way_resolves_is_told_as_that() -> None:
    failures: dict[Route, errors.RdvError] = {
        route: errors.NameNotResolved("the name x cannot be resolved") for route in Route
    }
    error = transport.all_failed(failures)
    told = advice(failed(type(error).__name__, str(error)), READY)
    assert told and told.title == "The RDV server's name is not found"


@pytest.mark.parametrize("role", ["master", "onsite"])
def test_a_device_without_a_network_is_told_by_its_role(role: str) -> None:
    told = advice({**ONLINE, "role": role, "state": State.LAN_WAIT}, None)
    assert told and told.title == f"This {role} has no network"


@pytest.mark.parametrize("state", sorted(set(PortState) - {PortState.READY, PortState.BORROWED}))
def test_each_state_of_the_port_that_is_of_no_use_is_told(state: PortState) -> None:
    told = advice(ONLINE, {**READY, "state": state, "product": "AX88179"})
    assert told and told.checks
    assert state is PortState.ABSENT or "eth1 (AX88179)" in told.text


def test_how_long_a_port_is_looked_at_is_told_once() -> None:
    usual = advice(ONLINE, {**READY, "state": PortState.CHECKING})
    slow = advice(ONLINE, {**READY, "state": PortState.CHECKING, "reason": "a switch is on it: 40 s"})
    assert usual and "a few seconds" in usual.text
    assert slow and slow.text.endswith("a switch is on it: 40 s.")


def test_why_a_port_is_refused_is_told_in_the_watchers_words() -> None:
    port = {**READY, "state": PortState.REFUSED, "reason": "a DHCP server answers, 10.0.0.1"}
    told = advice(ONLINE, port)
    assert told and "a DHCP server answers, 10.0.0.1" in told.text


def test_what_is_plugged_in_in_vain_is_named_where_no_adapter_is_used() -> None:
    told = advice(ONLINE, {**ABSENT, "left_alone": ["wwan0 (EC25-E) is a modem"]})
    assert told and "wwan0 (EC25-E) is a modem" in told.text


def test_a_service_that_does_not_run_is_told() -> None:
    agent, watcher = advice(None, READY), advice(ONLINE, None)
    assert agent and agent.title == "The agent does not run"
    assert watcher and "secondary-if-watcher" in watcher.checks[0]


def test_no_connection_is_told_before_no_adapter() -> None:
    told = advice(failed("CaptivePortal"), ABSENT)
    assert told and "sign-in" in told.title


def test_a_session_that_was_cut_off_is_told_and_one_that_was_ended_is_not() -> None:
    over = {**ONLINE, "ended": "the leg of the onsite is down"}
    told = advice({**over, "ended_as_wished": False}, READY)
    assert told and "the leg of the onsite is down" in told.text
    assert advice({**over, "ended_as_wished": True}, READY) is None


def test_on_a_terminal_it_has_no_long_and_no_unprintable_line() -> None:
    told = advice(failed("RdvUnreachable", f"\x1b[2J {'very ' * 60}"), READY)
    assert told
    assert all(line.isprintable() and len(line) <= 78 for line in told.lines())
