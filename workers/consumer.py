"""Follows the hub's streams of changes, losing none and taking each as often as it must."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from dataspoke.errors import (
    Conflict,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)
from dataspoke.health.service import AUDIT_BATCH, audit_job
from dataspoke.knowledge.indexing import REINDEX
from dataspoke.ports.hub import EventPage, Hub, MetadataEvent, RejectedEvent, Topic
from dataspoke.ports.store import JobKind, NewJob, Store, Transaction
from dataspoke.quality.runs import scan_all_job
from dataspoke.quality.service import scan_job
from dataspoke.workers.events import Plan, as_text, plan

_log = logging.getLogger(__name__)

_PAGE = 500
# One ingestion writes several aspects of a dataset within moments: they become one job.
_GATHER = timedelta(seconds=0.2)
# A profiler reports table by table, and partition by partition.
_GATHER_MEASURES = timedelta(seconds=1)
# Reads every dataset: a run that ingests tags and users should cost one.
_GATHER_NAMES = timedelta(seconds=10)
_EMPTY_PAUSE_S = 0.2
# What finds everything that events could have told of.
_CATCH_UP = (
    NewJob(JobKind.RECONCILE, dedupe_key=JobKind.RECONCILE),
    NewJob(JobKind.AUDIT_ALL, dedupe_key=JobKind.AUDIT_ALL),
    scan_all_job(),
)


class EventConsumer:
    """Turns changes into index requests and jobs, in one transaction with the stream's cursor.

    Several workers may follow the same streams: the cursor moves once, what the others did is
    rolled back. ``on_jobs`` is told after which time jobs are due.
    """

    def __init__(
        self, hub: Hub, store: Store, wait: timedelta, on_jobs: Callable[[timedelta], None]
    ) -> None:
        self._hub = hub
        self._store = store
        self._wait = wait
        self._on_jobs = on_jobs

    async def begin(self) -> None:
        """Take a starting point in every stream that has none.

        What changes from then on is not missed; what was there before is for a full scan to find.
        """
        for topic in Topic:
            if await self._store.cursor(topic) is None:
                await self._start(topic, previous=None, jobs=())

    async def step(self, topic: Topic) -> None:
        """Wait for the next changes and take them."""
        cursor = await self._store.cursor(topic)
        if cursor is None:
            await self._start(topic, previous=None, jobs=_CATCH_UP)
            return
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            page = await self._hub.poll(topic, cursor, _PAGE, self._wait)
        except DependencyRejected as error:
            # Where it is not the cursor that is refused, this is refused as well.
            await self._start(topic, previous=cursor, jobs=_CATCH_UP)
            _log.warning("%s starts anew, all is scanned: %s", topic, error.public_message)
            return
        if page.cursor != cursor:
            await self._take(topic, page, cursor)
        elif loop.time() - asked_at < _EMPTY_PAUSE_S:
            await asyncio.sleep(_EMPTY_PAUSE_S)  # a hub that does not wait

    async def _start(self, topic: Topic, previous: str | None, jobs: Sequence[NewJob]) -> None:
        page = await self._hub.poll(topic, None, _PAGE, timedelta(0))
        await self._take(topic, page, previous, jobs)

    async def _take(
        self, topic: Topic, page: EventPage, previous: str | None, jobs: Sequence[NewJob] = ()
    ) -> None:
        planned = plan(page.events)
        try:
            try:
                await self._save(topic, page, previous, planned, jobs)
            except (Conflict, DependencyTimeout, DependencyUnavailable):
                raise
            except Exception:
                _log.exception("%s: a page of events failed, taking them one by one", topic)
                rejected = await self._take_singly(page.events)
                left = replace(page, rejected=(*page.rejected, *rejected))
                await self._save(topic, left, previous, Plan(), jobs)
        except Conflict:
            _log.debug("%s: another worker took these events", topic)
            return
        for delay, is_needed in (
            (_GATHER, True),
            (_GATHER_MEASURES, planned.scan),
            (_GATHER_NAMES, planned.reconcile),
        ):
            if is_needed:
                self._on_jobs(delay)

    async def _save(
        self,
        topic: Topic,
        page: EventPage,
        previous: str | None,
        planned: Plan,
        jobs: Sequence[NewJob],
    ) -> None:
        async with self._store.transaction() as tx:
            await _apply(tx, planned, jobs)
            for text, error in (*page.rejected, *planned.rejected):
                await tx.reject_event(topic, text, error)
            await tx.save_cursor(topic, page.cursor, previous)
        rejected = len(page.rejected) + len(planned.rejected)
        if rejected:
            _log.warning("%s: %d events could not be read and were kept aside", topic, rejected)

    async def _take_singly(self, events: Sequence[MetadataEvent]) -> list[RejectedEvent]:
        """Take each event by itself; returns those that fail."""
        rejected = []
        for event in events:
            planned = plan([event])
            try:
                async with self._store.transaction() as tx:
                    await _apply(tx, planned, ())
            except (DependencyTimeout, DependencyUnavailable):
                raise
            except Exception as error:
                rejected.append(RejectedEvent(as_text(event), str(error)))
            rejected += planned.rejected
        return rejected


async def _apply(tx: Transaction, planned: Plan, more: Sequence[NewJob]) -> None:
    jobs = [replace(scan_job(urn), delay=_GATHER_MEASURES) for urn in planned.scan]
    if planned.index:
        await tx.request_index(planned.index)
        jobs.append(replace(REINDEX, delay=_GATHER))
    for start in range(0, len(planned.audit), AUDIT_BATCH):
        batch = planned.audit[start : start + AUDIT_BATCH]
        jobs.append(replace(audit_job(batch), delay=_GATHER))
    if planned.reconcile:
        kind = JobKind.RECONCILE
        jobs.append(NewJob(kind, dedupe_key=kind, delay=_GATHER_NAMES))
    await tx.add_jobs([*jobs, *more])
