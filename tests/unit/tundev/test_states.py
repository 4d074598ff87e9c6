"""How far a device is, and how long it waits before it tries again."""

from __future__ import annotations

import pytest

from tundev.backoff import Backoff
from tundev.states import Facts, State, next_state

ALL = {
    "uplink": True,
    "resolved": True,
    "reachable": True,
    "connected": True,
    "tunnel": True,
    "session": True,
}


@pytest.mark.parametrize(
    ("lost", "state"),
    [
        ("uplink", State.LAN_WAIT),
        ("resolved", State.IP_ADDR_OK),
        ("reachable", State.RDVSERVER_IP_OK),
        ("connected", State.RDVSERVER_TCP_OK),
        ("tunnel", State.SSH_CONNECTION_OK),
        ("session", State.TUNNEL_CONNECTION_OK),
    ],
)
def test_it_falls_back_to_the_last_state_that_holds(lost: str, state: State) -> None:
    assert next_state(Facts(**{**ALL, lost: False})) is state


def test_tls_is_a_state_of_its_own_only_where_the_way_is_by_tls() -> None:
    reached = {**ALL, "connected": False}
    assert next_state(Facts(**reached, secured=True)) is State.SSL_TUNNEL_OK
    assert next_state(Facts(**reached)) is State.RDVSERVER_TCP_OK
    assert next_state(Facts(**ALL, secured=True)) is State.SESSION_OK


def test_with_all_that_there_is_it_is_in_a_session() -> None:
    assert next_state(Facts(**ALL)) is State.SESSION_OK


def test_pauses_grow_to_the_cap_and_begin_anew_after_a_success() -> None:
    asked: list[float] = []

    def longest(low: float, high: float) -> float:
        assert low == 0.0
        asked.append(high)
        return high

    backoff = Backoff(1.0, 8.0, longest)
    assert [backoff.next() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    backoff.reset()
    assert backoff.next() == 1.0
