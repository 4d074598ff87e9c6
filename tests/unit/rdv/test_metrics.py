"""What Prometheus is told: counts that never go down, and the state at the time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from rdv import drain
from rdv.audit.events import Event, Kind, forget
from rdv.devices import Device
from rdv.manager.registry import Connection, Registry
from rdv.manager.warnings import Warnings
from rdv.metrics.collector import Metrics
from rdv.metrics.tunnel_bytes import TunnelBytes
from rdv.sessions.life import Life
from rdv.sessions.traffic import Traffic
from tests.unit.rdv.sessions import other, session
from vtunlib.tunnel import Role, TunnelMode

BIG = Traffic(1 << 62, 7)


def test_bytes_of_a_session_stay_counted_when_it_ends() -> None:
    count = TunnelBytes()
    count.seen("a", Traffic(10, 1))
    count.seen("b", Traffic(5, 5))
    assert count.total == Traffic(15, 6)
    count.ended("a", Traffic(12, 1))
    assert count.total == Traffic(17, 6)
    count.ended("b", None)
    assert count.total == Traffic(17, 6)


def test_the_count_never_goes_down_whatever_is_seen() -> None:
    count = TunnelBytes()
    steps: list[Callable[[], None]] = [
        lambda: count.seen("a", Traffic(10, 10)),
        lambda: count.seen("a", Traffic(0, 0)),  # read while its namespace was taken away
        lambda: count.ended("a", Traffic(3, 3)),
        lambda: count.ended("a", None),
        lambda: count.ended("nobody", None),
        lambda: count.ended("short", BIG),
    ]
    for step in steps:
        former = count.total
        step()
        assert count.total.to_onsite >= former.to_onsite
        assert count.total.from_onsite >= former.from_onsite
    assert count.total == Traffic(10 + (1 << 62), 17)


def test_what_a_kept_session_had_before_the_manager_started_was_counted_then() -> None:
    count = TunnelBytes()
    count.kept("a", Traffic(100, 200))
    count.seen("a", Traffic(100, 200))
    assert count.total == Traffic(0, 0)
    count.seen("a", Traffic(110, 201))
    assert count.total == Traffic(10, 1)
    count.ended("a", Traffic(111, 201))
    assert count.total == Traffic(11, 1)


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels."""
    text = asyncio.run(metrics.text()).decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def test_devices_sessions_and_warnings_are_told_as_they_are_when_asked(tmp_path: Path) -> None:
    registry, warnings = Registry(), Warnings()
    lives = [
        Life(session(), lambda *_: None, forget),
        Life(other(session(TunnelMode.L2), "89abcdef"), lambda *_: None, forget),
    ]
    metrics = Metrics(registry, lives, warnings, tmp_path / "drain")
    assert samples(metrics)["rdv_devices_online", "onsite"] == 0
    for name in ("o1", "o2"):
        registry.attach(Connection(Device(name, Role.ONSITE), os.getuid(), ":1.5", cookie=0))
    warnings.set("acl", "bad")
    told = samples(metrics)
    assert told["rdv_devices_online", "onsite"] == 2 and told["rdv_devices_online", "master"] == 0
    assert told["rdv_sessions", "L2", "legs"] == told["rdv_sessions", "L3", "legs"] == 1
    assert told["rdv_sessions", "L3", "up"] == 0
    assert told["rdv_warnings",] == 1
    assert told["rdv_draining",] == 0
    assert told["process_start_time_seconds",] > 0


def test_what_happens_is_counted_and_every_series_is_bounded() -> None:
    metrics = Metrics(Registry(), [], Warnings())
    first = samples(metrics)
    assert first["rdv_refusals_total", "Busy"] == 0
    for event in (
        Event(Kind.SESSION_OPENED, "o1", "0123abcd", {"master": "m1"}),
        Event(Kind.SESSION_UP, "o1", "0123abcd", {"master": "m1", "seconds": 1.2}),
        Event(Kind.SESSION_ENDED, "o1", "0123abcd", {"to_onsite": 10, "from_onsite": 20}),
        Event(Kind.SESSION_ENDED, "o1", "ffffffff", {"why": "unknown"}),
        Event(Kind.SESSION_REFUSED, "o1", "", {"error": "Busy", "why": "o1 is in a session"}),
        Event(Kind.SESSION_REFUSED, "o1", "", {"error": "Busy", "left_out": 4}),
        Event(Kind.REFUSED, "o7", "", {"why": "x"}),
        Event(Kind.ONLINE, "o1"),
    ):
        metrics.hear(event)
    told = samples(metrics)
    assert told["rdv_sessions_opened_total",] == 1
    assert told["rdv_session_setup_seconds_count",] == 1
    assert told["rdv_session_setup_seconds_bucket", "1.0"] == 0
    assert told["rdv_session_setup_seconds_bucket", "1.5"] == 1
    assert (told["rdv_tunnel_bytes_total", "to_onsite"], told["rdv_tunnel_bytes_total", "from_onsite"]) == (
        10,
        20,
    )
    assert told["rdv_refusals_total", "Busy"] == 6
    assert told["rdv_login_refusals_total",] == 1
    assert set(told) == set(first)  # nothing that happened made another series


def test_while_draining_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "drain"
    metrics = Metrics(Registry(), [], Warnings(), file)
    drain.begin("soon", file)
    assert samples(metrics)["rdv_draining",] == 1
