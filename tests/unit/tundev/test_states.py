"""How far a device is, and how long it waits before it tries again."""

from __future__ import annotations

import pytest

from tundev import backoff
from tundev.backoff import Backoff
from tundev.states import Facts, State, next_state
from vtunlib.errors import TakenOver

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


@pytest.mark.parametrize(
    ("seconds", "taken_over", "begins_anew"),
    [
        (backoff.SETTLED_SECONDS, False, True),
        (backoff.SETTLED_SECONDS - 0.1, False, False),
        # Of two with the same identity each lasts as long as the other pauses: never is that a success.
        (backoff.CAP_SECONDS, True, False),
        (backoff.CONTESTED_SECONDS, True, True),
    ],
)
def test_pauses_begin_anew_only_after_a_connection_that_was_good(
    seconds: float, taken_over: bool, begins_anew: bool
) -> None:
    pauses = Backoff(1.0, 8.0, lambda _low, high: high)
    pauses.next()
    pauses.connected(seconds, taken_over=taken_over)
    assert pauses.next() == (1.0 if begins_anew else 2.0)


def test_how_a_connection_ended_is_told_by_its_error() -> None:
    pauses = Backoff(1.0, 8.0, lambda _low, high: high)
    pauses.next()
    with pytest.raises(TakenOver), pauses.connection():
        raise TakenOver("taken over")
    assert pauses.next() == 2.0


def test_pauses_grow_to_the_cap() -> None:
    asked: list[float] = []

    def longest(low: float, high: float) -> float:
        assert low == 0.0
        asked.append(high)
        return high

    pauses = Backoff(1.0, 8.0, longest)
    assert [pauses.next() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
