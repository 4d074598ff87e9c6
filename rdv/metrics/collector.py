"""What Prometheus is told: the state when it asks, and counts of what happened since the manager started.

No label has values without bound: a device, a session, a reason is never one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client import Counter as EventCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from rdv import drain
from rdv.audit.events import Event, Kind
from rdv.manager.registry import Registry
from rdv.manager.warnings import Warnings
from rdv.metrics.tunnel_bytes import TunnelBytes
from rdv.sessions import traffic
from rdv.sessions.life import Life
from rdv.sessions.session import UP_DEADLINE, State
from rdv.sessions.traffic import Traffic
from vtunlib.errors import (
    Busy,
    Draining,
    ModeNotPossible,
    NotAllowed,
    NotOnline,
    SessionFailed,
    UsageError,
)
from vtunlib.tunnel import Role, TunnelMode
from vtunlib.version import VERSION

_BUCKETS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, UP_DEADLINE)
_REFUSALS = (Busy, Draining, ModeNotPossible, NotAllowed, NotOnline, SessionFailed, UsageError)
"""Counted from 0, so that the first of each is seen as one; others come as they happen."""


class Metrics(Collector):
    """The manager's metrics. `hear` is told of what happens, `text` is what is served."""

    def __init__(
        self,
        registry: Registry,
        sessions: Iterable[Life],
        warnings: Warnings,
        drain_file: Path = drain.FILE,
        strangers: Callable[[], int] = lambda: 0,
    ) -> None:
        """strangers: how many were refused that are not known at all (rdv.logins.refusals)."""
        self._strangers = strangers
        self._drain_file = drain_file
        self._registry = registry
        self._sessions = sessions
        self._warnings = warnings
        self._bytes = TunnelBytes()
        self._prometheus = CollectorRegistry()
        ProcessCollector(registry=self._prometheus)
        self._setup = Histogram(
            "rdv_session_setup_seconds",
            "From a session's opening until both its legs carry traffic.",
            buckets=_BUCKETS,
            registry=self._prometheus,
        )
        self._refusals = EventCounter(
            "rdv_refusals_total", "Sessions refused, by class of error.", ["error"], registry=self._prometheus
        )
        for error in _REFUSALS:
            self._refusals.labels(error.__name__)
        self._logins = EventCounter(
            "rdv_login_refusals_total", "Logins and enrolments refused.", registry=self._prometheus
        )
        self._opened = EventCounter(
            "rdv_sessions_opened_total", "Sessions opened.", registry=self._prometheus
        )
        self._prometheus.register(self)

    async def start(self) -> None:
        """Note what the kept sessions had already. Before anybody asks."""
        for life, amount in await self._amounts():
            self._bytes.kept(life.session.id, amount)

    def hear(self, event: Event) -> None:
        """Count it (a `rdv.audit.events.Record`)."""
        more = event.more
        match event.kind:
            case Kind.SESSION_OPENED:
                self._opened.inc()
            case Kind.SESSION_UP:
                self._setup.observe(more["seconds"])
            case Kind.SESSION_ENDED:
                known = "to_onsite" in more
                amount = Traffic(more["to_onsite"], more["from_onsite"]) if known else None
                self._bytes.ended(event.session, amount)
            case Kind.SESSION_REFUSED:
                self._refusals.labels(more["error"]).inc(1 + more.get("left_out", 0))
            case Kind.REFUSED:
                self._logins.inc(more.get("times", 1) + more.get("left_out", 0))
            case _:
                pass

    async def text(self) -> bytes:
        """The metrics in Prometheus' text format 0.0.4."""
        for life, amount in await self._amounts():
            # One that has ended meanwhile is told of, or was, with what it had at its end.
            if life in self._sessions:
                self._bytes.seen(life.session.id, amount)
        text: bytes = generate_latest(self._prometheus)
        return text

    async def _amounts(self) -> list[tuple[Life, Traffic]]:
        lives = list(self._sessions)
        amounts = await traffic.of_all(life.session.namespace for life in lives)
        return [(life, amount) for life, amount in zip(lives, amounts, strict=True) if amount is not None]

    def collect(self) -> Iterator[Metric]:
        """The state now, as prometheus_client asks a collector for it."""
        build = InfoMetricFamily("rdv_build", "The running version of rdv-server.")
        build.add_metric([], {"version": VERSION})
        yield build
        online = GaugeMetricFamily("rdv_devices_online", "Devices online.", labels=["role"])
        for role in Role:
            online.add_metric([str(role)], len(self._registry.of_role(role)))
        yield online
        yield self._sessions_now()
        total = self._bytes.total
        moved = CounterMetricFamily(
            "rdv_tunnel_bytes", "Bytes that went through sessions.", labels=["direction"]
        )
        moved.add_metric(["to_onsite"], total.to_onsite)
        moved.add_metric(["from_onsite"], total.from_onsite)
        yield moved
        yield CounterMetricFamily(
            "rdv_strangers_refused", "Logins refused that are of no device.", value=self._strangers()
        )
        draining = drain.now(self._drain_file) is not None
        yield _gauge("rdv_draining", "Whether new sessions are refused before maintenance.", draining)
        yield _gauge("rdv_warnings", "Warnings that stand: rdv-admin status.", len(list(self._warnings)))

    def _sessions_now(self) -> Metric:
        count = Counter((life.state.shown, life.session.mode) for life in self._sessions)
        sessions = GaugeMetricFamily("rdv_sessions", "Sessions now.", labels=["state", "mode"])
        for state in (State.LEGS, State.UP):
            for mode in TunnelMode:
                sessions.add_metric([str(state), str(mode)], count[state, mode])
        return sessions


def _gauge(name: str, about: str, value: int) -> Metric:
    return GaugeMetricFamily(name, about, value=value)
