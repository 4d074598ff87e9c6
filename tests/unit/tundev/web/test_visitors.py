"""Cookies, the tokens bound to them, PINs, and how often one may be tried."""

from __future__ import annotations

from tundev.web.pin import PinHash
from tundev.web.throttle import FIRST_WAIT, FORGIVEN, FREE, LONGEST_WAIT, Throttle
from tundev.web.visitors import IDLE, SIGNED_IN, Visitors


def test_a_cookie_is_known_by_its_mark_alone() -> None:
    visitors = Visitors()
    cookie = visitors.cookie()
    assert visitors.knows(cookie)
    assert len(cookie.partition(".")[0]) >= 43  # 256 bits in base64
    assert cookie != visitors.cookie()
    for other in (
        None,
        "",
        ".",
        cookie[:-1],
        f"x{cookie}",
        cookie.partition(".")[0],
        Visitors().cookie(),
        "ü.ü",
    ):
        assert not visitors.knows(other)


def test_a_token_is_for_its_cookie_alone() -> None:
    visitors = Visitors()
    mine, others = visitors.cookie(), visitors.cookie()
    assert visitors.holds(mine, visitors.token(mine))
    for token in (None, "", visitors.token(others), mine, "ü"):
        assert not visitors.holds(mine, token)


def test_who_gave_the_pin_has_another_cookie_from_then_on() -> None:
    visitors = Visitors()
    before = visitors.cookie()
    after = visitors.sign_in(before, 0.0)
    assert after != before
    assert visitors.is_signed_in(after, 1.0)
    assert not visitors.is_signed_in(before, 1.0)
    assert not visitors.is_signed_in(visitors.cookie(), 1.0)
    assert not visitors.is_signed_in(None, 1.0)


def test_signing_in_once_more_ends_what_the_former_cookie_was_good_for() -> None:
    visitors = Visitors()
    first = visitors.sign_in(None, 0.0)
    second = visitors.sign_in(first, 1.0)
    assert not visitors.is_signed_in(first, 2.0)
    assert visitors.is_signed_in(second, 2.0)


def test_who_was_away_for_a_day_is_asked_again_and_who_was_not_is_not() -> None:
    visitors = Visitors()
    cookie = visitors.sign_in(None, 0.0)
    assert visitors.is_signed_in(cookie, IDLE - 1)
    assert visitors.is_signed_in(cookie, 2 * IDLE - 2)
    assert not visitors.is_signed_in(cookie, 3 * IDLE)
    assert not visitors.is_signed_in(cookie, 3 * IDLE)


def test_the_one_not_seen_for_longest_makes_room() -> None:
    visitors = Visitors()
    cookies = [visitors.sign_in(None, float(number)) for number in range(SIGNED_IN)]
    assert visitors.is_signed_in(cookies[0], 100.0)
    newest = visitors.sign_in(None, 101.0)
    known = [cookie for cookie in [*cookies, newest] if visitors.is_signed_in(cookie, 102.0)]
    assert known == [cookies[0], *cookies[2:], newest]


def test_a_pin_is_recognized_by_its_hash_which_is_salted() -> None:
    proof, other = PinHash.of("4711-ü"), PinHash.of("4711-ü")
    assert proof.matches("4711-ü")
    assert not any(proof.matches(pin) for pin in ("", "4711", "4711-ü ", "4711-u"))
    assert proof != other
    assert "4711" not in repr(proof)


def test_a_person_may_mistype_and_who_guesses_waits_longer_and_longer() -> None:
    throttle = Throttle()
    assert [throttle.take(0.0) for _ in range(FREE)] == [0.0] * FREE
    waits, now = [], 0.0
    for _ in range(7):
        waits.append(throttle.take(now))
        now += waits[-1]
        assert throttle.take(now) == 0.0
    assert waits == [FIRST_WAIT, 20.0, 40.0, 80.0, 160.0, LONGEST_WAIT, LONGEST_WAIT]


def test_asking_early_is_no_try_and_does_not_lengthen_the_wait() -> None:
    throttle = Throttle()
    for _ in range(FREE):
        throttle.take(0.0)
    assert [throttle.take(now) for now in (1.0, 2.0, 9.0)] == [9.0, 8.0, 1.0]
    assert throttle.take(10.0) == 0.0


def test_a_day_of_guessing_is_less_than_three_hundred_tries() -> None:
    throttle, now, tries = Throttle(), 0.0, 0
    while now < 86400:
        wait = throttle.take(now)
        tries += not wait
        now += wait or 0.001
    assert tries < 300 + FREE


def test_the_right_pin_and_time_make_it_good() -> None:
    throttle = Throttle()
    for _ in range(FREE):
        throttle.take(0.0)
    throttle.right()
    assert [throttle.take(0.0) for _ in range(FREE)] == [0.0] * FREE
    assert throttle.take(1.0) > 0
    assert throttle.take(FORGIVEN) == 0.0
    assert throttle.take(FORGIVEN) > 0
