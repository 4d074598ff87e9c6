"""Why somebody was not let in: told from what the audit knows, once, and for strangers not at all."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from rdv.audit.events import Event, Kind
from rdv.audit.store import Store
from rdv.logins.login_lines import Refused, Stranger
from rdv.logins.origins import Origin, Transport
from rdv.logins.refusals import REPEAT_SECONDS, UNKNOWN, Refusals, Repeats, why

OWN, OLD, ONE_TIME, NEWER = (f"SHA256:{letter * 43}" for letter in "abcd")
START = datetime.datetime(2026, 12, 2, 9, tzinfo=datetime.UTC)


def history(*events: tuple[Kind, dict[str, str]]) -> list[Event]:
    """One event an hour."""
    return [
        Event(kind, "rpi1100", "", more, START + datetime.timedelta(hours=number))
        for number, (kind, more) in enumerate(events)
    ]


ADDED: tuple[Kind, dict[str, str]] = (Kind.DEVICE_ADDED, {})
REMOVED: tuple[Kind, dict[str, str]] = (Kind.DEVICE_REMOVED, {})
DISABLED: tuple[Kind, dict[str, str]] = (Kind.DEVICE_DISABLED, {})
ENABLED: tuple[Kind, dict[str, str]] = (Kind.DEVICE_ENABLED, {})
ISSUED = (Kind.BUNDLE_ISSUED, {"fingerprint": ONE_TIME, "valid_until": "2026-12-09T09:00:00+00:00"})
ISSUED_AGAIN = (Kind.BUNDLE_ISSUED, {"fingerprint": NEWER, "valid_until": "2026-12-19T09:00:00+00:00"})
CUT_OFF = (Kind.BUNDLE_ISSUED, {"fingerprint": NEWER, "cut_off": "yes"})
ENROLLED = (Kind.ENROLLED, {"fingerprint": OWN, "one_time": ONE_TIME})
ENROLLED_AGAIN = (Kind.ENROLLED, {"fingerprint": NEWER, "one_time": "SHA256:x"})
SET = (Kind.KEY_SET, {"fingerprint": OLD})


@pytest.mark.parametrize(
    ("events", "fingerprint", "told"),
    [
        ([], OWN, ""),
        ([ADDED], OWN, UNKNOWN),
        (
            [ADDED, ISSUED, ENROLLED],
            ONE_TIME,
            "a one-time key that was used already, on 2026-12-02 11:00 UTC",
        ),
        (
            [ADDED, ISSUED, ISSUED_AGAIN],
            ONE_TIME,
            "a one-time key that a newer bundle replaced on 2026-12-02",
        ),
        ([ADDED, ISSUED, SET], ONE_TIME, "a one-time key that was replaced by another key on 2026-12-02"),
        ([ADDED, ISSUED], ONE_TIME, "a one-time key that expired on 2026-12-09 09:00 UTC"),
        ([ADDED, ISSUED_AGAIN], NEWER, "its one-time key"),
        ([ADDED, SET, ISSUED, ENROLLED], OLD, "its former key, replaced on 2026-12-02 12:00 UTC"),
        ([ADDED, ISSUED, ENROLLED, CUT_OFF], OWN, "its former key, cut off on 2026-12-02 12:00 UTC"),
        ([ADDED, ISSUED, ENROLLED, ISSUED_AGAIN], OWN, "its key"),
        (
            [ADDED, ISSUED, ENROLLED, REMOVED],
            OWN,
            "the device was removed on 2026-12-02 12:00 UTC; its former",
        ),
        ([ADDED, ISSUED, ENROLLED, REMOVED, ADDED], OWN, "its former key, removed on 2026-12-02 12:00 UTC"),
        ([ADDED, REMOVED], OWN, f"the device was removed on 2026-12-02 10:00 UTC; {UNKNOWN}"),
        (
            [ADDED, ISSUED, ENROLLED, DISABLED],
            OWN,
            "the device is disabled since 2026-12-02 12:00 UTC; its key",
        ),
        ([ADDED, ISSUED, ENROLLED, DISABLED, ENABLED], OWN, "its key"),
        ([ADDED, ISSUED, ENROLLED, ENROLLED_AGAIN], ONE_TIME, "a one-time key that was used already"),
    ],
)
def test_why_a_key_does_not_open_the_account(
    events: list[tuple[Kind, dict[str, str]]], fingerprint: str, told: str
) -> None:
    found = why(history(*events), fingerprint, START + datetime.timedelta(days=8))
    assert found.startswith(told) and bool(found) == bool(told)


def test_the_same_again_is_only_counted() -> None:
    repeats = Repeats()
    same, other = ("rpi1100", OWN, "192.0.2.1"), ("rpi1100", OWN, "192.0.2.2")
    assert [repeats.times(same, now) for now in (0, 1, 2)] == [1, 0, 0]
    assert repeats.times(other, 2) == 1
    assert repeats.times(same, REPEAT_SECONDS) == 3
    assert repeats.times(same, REPEAT_SECONDS + 1) == 0
    assert repeats.times(same, 2 * REPEAT_SECONDS) == 2


def test_only_so_many_are_remembered() -> None:
    repeats = Repeats(room=10)
    for number in range(1000):
        assert repeats.times(("rpi1100", f"key {number}", ""), 0) == 1
    assert len(repeats._seen) == 10


def told(
    path: Path, lines: list[Refused | Stranger], meanwhile: Callable[[Store], None] = lambda _: None
) -> tuple[list[Event], int]:
    """What is recorded of these, and how many strangers there were."""

    async def heard() -> tuple[list[Event], int]:
        with Store(path) as store:
            recorded: list[Event] = []

            async def ask(question: Callable[[Store], list[Event]]) -> list[Event]:
                return question(store)

            async def where(address: str, _port: int) -> Origin:
                return Origin(address, Transport.SSH)

            refusals = Refusals(where, ask, recorded.append, hold=0.05)
            for line in lines:
                refusals.hear(line)
            await asyncio.sleep(0)
            meanwhile(store)
            await asyncio.gather(*refusals._running)
            return recorded, refusals.strangers

    return asyncio.run(heard())


LINE = Refused("rpi1100", "203.0.113.21", 40112, OWN)


def test_a_device_s_refusal_is_recorded_with_its_reason_and_address(tmp_path: Path) -> None:
    with Store(tmp_path / "audit.db") as store:
        store.append(history(ADDED, ISSUED, ENROLLED, REMOVED))
    events, strangers = told(tmp_path / "audit.db", [LINE, LINE])
    assert [event.kind for event in events] == [Kind.REFUSED]
    assert events[0].device == "rpi1100"
    assert events[0].more["address"] == "203.0.113.21"
    assert events[0].more["fingerprint"] == OWN
    assert events[0].more["why"].startswith("the device was removed on")
    assert strangers == 0


def test_strangers_are_counted(tmp_path: Path) -> None:
    lines: list[Refused | Stranger] = [Stranger(), Refused("admin", "203.0.113.66", 1, OWN), Stranger()]
    assert told(tmp_path / "audit.db", lines) == ([], 3)


def test_a_new_device_s_own_key_is_no_refusal_once_it_is_enrolled(tmp_path: Path) -> None:
    with Store(tmp_path / "audit.db") as store:
        store.append(history(ADDED, ISSUED))
    enrolled = [Event(Kind.ENROLLED, "rpi1100", more=ENROLLED[1])]
    assert told(tmp_path / "audit.db", [LINE], lambda store: store.append(enrolled)) == ([], 0)
    other = Refused("rpi1100", "203.0.113.21", 40112, OLD)
    events, _ = told(tmp_path / "audit.db", [other])
    assert [event.more["why"] for event in events] == [UNKNOWN]


def test_it_is_none_either_where_the_line_is_heard_only_after_the_enrolment(tmp_path: Path) -> None:
    with Store(tmp_path / "audit.db") as store:
        store.append([*history(ADDED, ISSUED), Event(Kind.ENROLLED, "rpi1100", more=ENROLLED[1])])
    assert told(tmp_path / "audit.db", [LINE]) == ([], 0)
