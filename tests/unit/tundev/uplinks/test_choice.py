"""Which uplink is used, by what happens to each of them."""

from __future__ import annotations

import random

import pytest

from tundev.uplinks.choice import (
    CAP_SECONDS,
    FIRST_SECONDS,
    RETURN_SECONDS,
    RETURN_TIMES,
    SETTLED_SECONDS,
    Choice,
)

WIRE, RADIO, MODEM = ORDER = ("tundev-lan", "wlan0", "wwan0")


class Device:
    """A device with its uplinks, and a clock that goes from one question to the next.

    `cut` are the uplinks that do not reach the server. `asked` is what was asked, in order.
    """

    def __init__(self, *links: str, cut: tuple[str, ...] = ()) -> None:
        self.choice = Choice(uniform=lambda _, ceiling: ceiling)
        self.links = links or ORDER
        self.cut = set(cut)
        self.now = 0.0
        self.asked: list[str] = []
        self.session = False
        self.choice.there(self.links, self.now, in_use=self.links[0])

    @property
    def chosen(self) -> str | None:
        return self.choice.chosen

    def there(self, *links: str) -> None:
        self.links = links
        self.choice.there(links, self.now)

    def connect(self) -> None:
        """The agent does what it can by the chosen uplink."""
        works = self.chosen in self.links and self.chosen not in self.cut
        self.choice.agent(self.chosen if works else None, self.now, session=works and self.session)

    def pass_(self, seconds: float, *, connected: bool = True) -> None:
        """Answer what is asked until then, the agent following as it does."""
        until = self.now + seconds
        while (due := self.choice.due(self.now)) is not None and due.at <= until:
            self.now = max(self.now, due.at)
            self.asked.append(due.link)
            self.choice.answered(due.link, "no answer" if due.link in self.cut else "", self.now)
            if connected:
                self.connect()
        self.now = until

    def online(self) -> Device:
        self.connect()
        self.pass_(SETTLED_SECONDS)
        self.asked.clear()
        return self


def test_one_uplink_is_never_asked() -> None:
    device = Device(WIRE, cut=(WIRE,))
    device.pass_(3600)
    assert device.chosen == WIRE and device.asked == []


def test_the_best_one_that_stands_costs_the_others_nothing() -> None:
    device = Device().online()
    device.pass_(24 * 3600)
    assert device.chosen == WIRE and device.asked == []


def test_a_cable_that_is_pulled_is_no_uplink_from_that_moment_on() -> None:
    device = Device().online()
    device.there(RADIO, MODEM)
    assert device.chosen == RADIO and device.asked == []


def test_the_first_that_reaches_the_server_is_used_and_a_worse_one_is_not_asked() -> None:
    device = Device().online()
    device.cut = {WIRE}
    device.connect()
    device.pass_(1)
    assert device.chosen == RADIO
    assert device.asked == [WIRE, RADIO]


def test_a_server_that_was_away_is_held_against_no_worse_one() -> None:
    device = Device().online()
    device.cut = set(ORDER)
    device.connect()
    device.pass_(600)
    assert all(device.choice.reason(link) for link in ORDER)
    device.cut = set()
    device.connect()
    assert not any(device.choice.reason(link) for link in ORDER)
    device.cut = {WIRE}
    device.connect()
    device.pass_(60)
    assert [bool(device.choice.reason(link)) for link in ORDER] == [True, False, False]


def test_the_last_one_is_used_where_nothing_else_reaches_the_server() -> None:
    device = Device(cut=(WIRE, RADIO))
    device.connect()
    device.pass_(1)
    assert device.chosen == MODEM


def test_where_none_reaches_the_server_the_one_in_use_stays_and_is_asked_ever_less_often() -> None:
    device = Device().online()
    device.cut = set(ORDER)
    device.connect()
    device.pass_(6 * 3600)
    assert device.chosen == WIRE
    assert device.asked.count(MODEM) < 6 * 3600 / CAP_SECONDS + 10
    device.cut = set()
    device.pass_(CAP_SECONDS + FIRST_SECONDS)
    assert device.choice.online


def test_the_server_that_comes_back_is_reached_by_the_best_one_again() -> None:
    device = Device().online()
    device.cut = {WIRE}
    device.connect()
    device.pass_(1)
    device.cut = set(ORDER)
    device.connect()
    device.pass_(60)
    device.cut = set()
    device.pass_(CAP_SECONDS + FIRST_SECONDS)
    assert device.chosen == WIRE


def on_the_radio() -> Device:
    device = Device().online()
    device.cut = {WIRE}
    device.connect()
    device.pass_(60)
    device.asked.clear()
    return device


def test_a_mended_uplink_is_gone_back_to_after_several_answers_in_a_row() -> None:
    device = on_the_radio()
    device.cut = set()
    device.pass_(CAP_SECONDS + RETURN_SECONDS)
    assert device.asked[-RETURN_TIMES:] == [WIRE] * RETURN_TIMES
    assert device.chosen == WIRE and MODEM not in device.asked


def test_one_that_answers_now_and_then_is_not() -> None:
    device = on_the_radio()
    for _ in range(50):
        device.cut ^= {WIRE}
        device.pass_(RETURN_SECONDS + 1)
    assert device.chosen == RADIO


def test_no_session_is_cut_off_by_going_back() -> None:
    device = on_the_radio()
    device.session = True
    device.connect()
    device.cut = set()
    device.pass_(3600)
    assert device.chosen == RADIO
    device.session = False
    device.connect()
    assert device.chosen == WIRE


def test_a_session_whose_uplink_died_keeps_nothing() -> None:
    device = on_the_radio()
    device.session = True
    device.connect()
    device.there(WIRE, MODEM)
    assert device.chosen == MODEM  # the wire is known to fail


def test_one_that_comes_up_for_the_first_time_and_is_better_is_used_at_once() -> None:
    """At boot Wi-Fi may be faster than a switch that looks for loops."""
    device = Device(RADIO).online()
    device.there(WIRE, RADIO)
    device.pass_(1)
    assert device.chosen == WIRE


def test_but_not_where_it_does_not_reach_the_server() -> None:
    device = Device(RADIO, cut=(WIRE,)).online()
    device.there(WIRE, RADIO)
    device.pass_(3600)
    assert device.chosen == RADIO


def test_an_uplink_that_fails_again_and_again_is_trusted_ever_later() -> None:
    waits = []
    device = on_the_radio()
    for _ in range(4):
        device.cut = set()
        mended = device.now
        while device.chosen != WIRE:
            device.pass_(1)
        waits.append(device.now - mended)
        device.pass_(30)
        device.cut = {WIRE}
        device.connect()
        device.pass_(30)
    assert waits == sorted(waits) and waits[-1] > 4 * waits[0]


def test_what_was_good_for_long_has_no_past() -> None:
    device = on_the_radio()
    for _ in range(5):
        device.cut = set()
        device.pass_(2 * SETTLED_SECONDS)
        device.cut = {WIRE}
        device.connect()
        device.pass_(60)
    device.cut = set()
    device.pass_(CAP_SECONDS + RETURN_TIMES * RETURN_SECONDS)
    assert device.chosen == WIRE


def test_the_agent_is_given_time_to_follow() -> None:
    """It takes a moment to connect by the uplink that was gone back to, and that is no failure."""
    device = on_the_radio()
    device.cut = set()
    while device.chosen != WIRE:
        device.pass_(1, connected=False)
    device.asked.clear()
    device.choice.agent(None, device.now)
    device.pass_(10, connected=False)
    assert device.asked == []


def test_a_pick_holds_whatever_it_reaches() -> None:
    device = Device(cut=(MODEM,)).online()
    device.choice.pick(MODEM, device.now)
    device.connect()
    device.pass_(3600)
    assert device.chosen == MODEM and device.asked == []
    device.choice.pick(None, device.now)
    device.pass_(1)
    assert device.chosen == WIRE


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_something_is_chosen_and_nothing_is_asked_without_end(seed: int) -> None:
    """Random events; after each of them the choice is one of what there is, and questions have their pace."""
    chance = random.Random(seed)  # noqa: S311  # the same in each run
    device = Device()
    device.choice.uniform = chance.uniform
    for _ in range(300):
        links = [link for link in ORDER if chance.random() < 0.8]
        event = chance.randrange(5)
        if event == 0:
            device.there(*links)
        elif event == 1:
            device.cut = {link for link in ORDER if chance.random() < 0.5}
        elif event == 2:
            device.session = not device.session
            device.connect()
        elif event == 3:
            device.choice.agent(chance.choice([None, *ORDER]), device.now)
        elif device.links:
            device.choice.pick(chance.choice([None, *device.links]), device.now)
        before, device.asked = device.now, []
        device.pass_(chance.choice((0, 1, 60)))
        picked_away = device.choice.picked and device.chosen not in device.links
        assert picked_away or (device.chosen in device.links if device.links else device.chosen is None)
        assert len(device.asked) <= 4 * len(ORDER) + (device.now - before) / FIRST_SECONDS * len(ORDER)
