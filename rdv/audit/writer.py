"""Keeping events while the manager runs: a thread writes, so that nobody waits for a disk who need not.

What happens at the same time goes into one transaction. While the store cannot be
written, events wait in memory and are tried again; who needs certainty (a session is
opened only when that is on disk) is refused at once.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rdv.audit.events import Event, Record
from rdv.audit.flood import Flood
from rdv.audit.store import PATH, Store, StoreDamaged, StoreFailed
from rdv.manager.warnings import Warnings
from rdv.settings import Audit

RETRY_SECONDS = 5.0
"""After which a store that could not be written is tried again, also if nothing happens."""
WAITING_LIMIT = 10_000
"""Events that wait in memory for a store that cannot be written; beyond it the oldest are lost."""
PRUNE_SECONDS = 86_400.0
PRUNE_EVENTS = 5_000
"""After which of the two, whichever comes first, is looked whether something is too old or too much."""
WAIT_SECONDS = 10.0
"""How long the disk is waited for by who needs certainty, or an answer."""
CHECKED_SIZE = 1 << 30
"""Bytes of a store that is read through at the start, which takes 4 s for each GiB; in a larger
one damage is found when it is met."""
CLOSE_SECONDS = 5.0
"""How long the thread is waited for at the end."""

R = TypeVar("R")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    """An event, or a question to the store; done: told of the outcome, None where nobody waits."""

    event: Event | None = None
    question: Callable[[Store], Any] | None = None
    done: asyncio.Future[Any] | None = None


class Recorder:
    """Keeps events in the store at `path`. All but its thread is to be used in the running loop."""

    def __init__(self, settings: Audit, warnings: Warnings, path: Path = PATH) -> None:
        self._settings = settings
        self._warnings = warnings
        self._path = path
        self._hear: list[Record] = []
        self._flood = Flood()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        # The thread's own:
        self._store: Store | None = None
        self._checked = False
        self._waiting: list[Event] = []
        self._lost = 0
        self._unpruned = PRUNE_EVENTS
        self._pruned = time.monotonic()

    def listen(self, hear: Record) -> None:
        """Call `hear` with each event from now on."""
        self._hear.append(hear)

    def start(self) -> None:
        """Open the store, in the thread; a damaged one is set aside and a new one begun."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        self._jobs.put(_Job())

    async def close(self) -> None:
        """Keep what still waits, and end."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)
        if self._thread.is_alive():
            log.error("the audit store did not take the last events in time")

    def record(self, event: Event) -> None:
        """Keep it soon (a `rdv.audit.events.Record`)."""
        passed = self._flood.passed(event, time.monotonic())
        if passed is None:
            return
        self._jobs.put(_Job(passed))
        self.tell(passed)

    async def keep(self, event: Event) -> None:
        """Keep it now: on disk when it returns. Raises StoreFailed; then it never will be."""
        await self._done(_Job(event, done=asyncio.get_running_loop().create_future()))
        self.tell(event)

    async def ask(self, question: Callable[[Store], R]) -> R:
        """What the store answers, all that was recorded before being kept. Raises StoreFailed."""
        answer: R = await self._done(_Job(question=question, done=asyncio.get_running_loop().create_future()))
        return answer

    def tell(self, event: Event) -> None:
        """Tell who listens of an event: by itself only of one that another process has kept."""
        for hear in self._hear:
            hear(event)

    async def _done(self, job: _Job) -> Any:
        assert job.done is not None
        self._jobs.put(job)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await job.done  # a timeout cancels it, and then it is not done any more
        except TimeoutError:
            error = StoreFailed(f"the audit was not written within {WAIT_SECONDS:.0f} s", "look at its disk")
            self._warnings.set("audit", f"no session can be opened: {error}")
            raise error from None

    # in the thread

    def _work(self) -> None:
        ended = False
        while not ended:
            jobs = self._next()
            ended = jobs[-1] is None
            self._do([job for job in jobs if job is not None])
        if self._waiting:
            log.error("the audit could not be written: %d events are lost", len(self._waiting))
        self._shut()

    def _next(self) -> list[_Job | None]:
        """All that is to be done by now, up to the word to end; waits for it, or for its time."""
        due = self._pruned + PRUNE_SECONDS - time.monotonic()
        try:
            jobs = [self._jobs.get(timeout=RETRY_SECONDS if self._waiting else max(0.0, due))]
        except queue.Empty:
            return [_Job()]
        with suppress(queue.Empty):
            while jobs[-1] is not None:
                jobs.append(self._jobs.get_nowait())
        return jobs

    def _do(self, given: list[_Job]) -> None:
        jobs = [job for job in given if job.done is None or not job.done.cancelled()]
        events = [job for job in jobs if job.event is not None]
        try:
            self._append([*self._waiting, *(job.event for job in events if job.event is not None)])
        except Exception as error:
            self._failed(error, jobs)
            return
        self._waiting, self._lost = [], 0
        self._in_loop(self._warnings.clear, "audit")
        for job in events:
            self._answer(job, None)
        for job in jobs:
            if job.question is not None:
                self._answer_question(job, job.question)
        self._prune(len(events))

    def _append(self, events: list[Event]) -> None:
        try:
            self._opened().append(events)
        except StoreDamaged as error:
            self._set_aside(error)
            self._opened().append(events)

    def _opened(self) -> Store:
        if self._store is not None and not self._store.in_place():
            log.error("%s was moved or deleted: a new one is begun", self._path)
            self._shut()
        if self._store is None:
            self._store = Store(self._path)
        if not self._checked:
            if self._path.stat().st_size <= CHECKED_SIZE:
                self._store.check()
            self._checked = True
        return self._store

    def _shut(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _set_aside(self, error: StoreDamaged) -> None:
        self._shut()
        now = datetime.datetime.now(datetime.UTC)
        aside = self._path.with_name(f"{self._path.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
        try:
            for suffix in ("-wal", "-shm", ""):  # the last makes room for a new one
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    part.rename(f"{aside}{suffix}")
        except OSError as refused:
            raise StoreFailed(
                f"{self._path} is damaged and cannot be set aside: {refused.strerror}"
            ) from None
        log.error("%s", error.message)
        text = f"the audit was damaged ({error.message}): it is kept as {aside}, and a new one was begun"
        self._in_loop(self._warnings.set, "audit-damaged", text)

    def _failed(self, error: Exception, jobs: list[_Job]) -> None:
        if not isinstance(error, StoreFailed):
            log.exception("the audit", exc_info=error)
            error = StoreFailed(
                "internal error while the audit was written", "the manager's journal has more"
            )
        self._shut()
        self._waiting += [job.event for job in jobs if job.event is not None and job.done is None]
        surplus = max(0, len(self._waiting) - WAITING_LIMIT)
        self._lost += surplus
        del self._waiting[:surplus]
        text = f"no session can be opened: {error}"
        self._in_loop(self._warnings.set, "audit", f"{text}; {self._lost} lost" if self._lost else text)
        for job in jobs:
            self._answer(job, error)

    def _answer_question(self, job: _Job, question: Callable[[Store], Any]) -> None:
        try:
            self._answer(job, question(self._opened()))
        except Exception as error:
            self._answer(job, error)

    def _prune(self, count: int) -> None:
        self._unpruned += count
        if self._unpruned < PRUNE_EVENTS and time.monotonic() < self._pruned + PRUNE_SECONDS:
            return
        self._unpruned, self._pruned = 0, time.monotonic()
        try:
            gone = self._opened().prune(self._settings.keep_days, self._settings.max_mib)
        except StoreFailed as error:
            log.error("%s", error)
            return
        if gone:
            log.info("the %d oldest events of the audit are gone: too old, or too much", gone)
            self._unpruned = PRUNE_EVENTS  # once more, after what has come meanwhile
            self._jobs.put(_Job())

    def _answer(self, job: _Job, outcome: Any) -> None:
        if job.done is not None:
            self._in_loop(_settle, job.done, outcome)

    def _in_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _settle(done: asyncio.Future[Any], outcome: Any) -> None:
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
