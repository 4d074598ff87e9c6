"""Two devices with one identity are told from one device on a bad line."""

from __future__ import annotations

import datetime
import random
from itertools import pairwise

import pytest

from rdv.logins.clones import ALTERNATIONS, QUIET, TAKEOVERS, WINDOW, Takeover, Takeovers
from tundev.backoff import Backoff

START = datetime.datetime(2026, 12, 2, tzinfo=datetime.UTC)
A, B, C = "192.0.2.1", "198.51.100.7", "203.0.113.9"


def told(places: list[str], every: float) -> tuple[str, ...]:
    """What is reported of connections from these places in turn, one each `every` seconds."""
    takeovers = Takeovers()
    found: tuple[str, ...] = ()
    for number, (former, new) in enumerate(pairwise(places)):
        at = START + datetime.timedelta(seconds=every * number)
        found = takeovers.add(Takeover(at, former, new)) or found
    return found


@pytest.mark.parametrize(
    ("places", "every", "reported"),
    [
        pytest.param([A, B] * 4, 5, (A, B), id="two places in turn"),
        pytest.param([A, B] * 4, 60, (A, B), id="two places in turn, with long pauses"),
        pytest.param([A] * (TAKEOVERS + 1), 15, (A,), id="two boxes behind one address"),
        pytest.param([A] * 200, 45, (), id="a bad line, as fast as its loss can be noticed"),
        pytest.param([A, B, A, B], 20, (), id="a device that was carried there and back"),
        pytest.param([A, B] * 20, 150, (), id="a device that changes its uplink every few minutes"),
        pytest.param([A, B, C, A, B, C, A, B, C], 30, (), id="a device on a mobile network"),
        pytest.param([f"192.0.2.{n}" for n in range(15)], 30, (), id="ever new addresses"),
        pytest.param([A, "", B, "", A, "", B, ""], 5, (), id="addresses that are not known"),
        pytest.param([""] * (TAKEOVERS + 1), 5, (), id="none known at all"),
    ],
)
def test_who_is_called_a_clone(places: list[str], every: float, reported: tuple[str, ...]) -> None:
    assert told(places, every) == reported


def test_it_is_reported_once_and_again_only_after_it_was_over() -> None:
    takeovers = Takeovers()
    reports = []
    for number in range(40):
        former, new = (A, B) if number % 2 else (B, A)
        at = START + datetime.timedelta(seconds=10 * number)
        reports.append(bool(takeovers.add(Takeover(at, former, new))))
    assert reports.count(True) == 1 and reports.index(True) == ALTERNATIONS - 1
    assert not takeovers.over(at + QUIET / 2)
    assert takeovers.over(at + QUIET)
    assert not takeovers.over(at + QUIET)
    assert not takeovers.add(Takeover(at + 2 * QUIET, A, B))


def test_another_key_begins_anew() -> None:
    takeovers = Takeovers()
    for number in range(ALTERNATIONS):
        former, new = (A, B) if number % 2 else (B, A)
        takeovers.add(Takeover(START, former, new))
    assert takeovers.reported
    takeovers.forget()
    assert not takeovers.reported
    assert not takeovers.add(Takeover(START, A, B))


@pytest.mark.parametrize("seed", range(20))
def test_two_that_pause_as_devices_do_are_found_within_the_window(seed: int) -> None:
    """Each waits by its own backoff after it was thrown out, as tundev.agent does."""
    chance = random.Random(seed)  # noqa: S311  # the same in each run
    pauses = {place: Backoff(uniform=chance.uniform) for place in (A, B)}
    takeovers, at, online = Takeovers(), 0.0, A
    found: tuple[str, ...] = ()
    while at < WINDOW.total_seconds() and not found:
        out = B if online == A else A
        pause = pauses[out].next()
        pauses[online].connected(pause, taken_over=True)
        at += pause + 1.0
        found = takeovers.add(Takeover(START + datetime.timedelta(seconds=at), online, out))
        online = out
    assert found == (A, B)
