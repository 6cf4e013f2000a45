"""Follows the hub's streams of changes, losing none and taking each as often as it must."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

from dataspoke.errors import (
    Conflict,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)
from dataspoke.health.service import AUDIT_BATCH, audit_job
from dataspoke.knowledge.indexing import RECONCILE, REINDEX
from dataspoke.ports.changes import ChangeLog, Group, Kept, Member, Partition
from dataspoke.ports.hub import EventPage, Hub, MetadataEvent, RejectedEvent, Topic
from dataspoke.ports.store import JobKind, NewJob, Store, Transaction
from dataspoke.quality.runs import scan_all_job
from dataspoke.quality.service import scan_job
from dataspoke.urns import deterministic_id
from dataspoke.workers.events import Plan, as_text, plan, share

_log = logging.getLogger(__name__)

_PAGE = 500
# One ingestion writes several aspects of a dataset within moments: they become one job.
_GATHER = timedelta(seconds=0.2)
# A profiler reports table by table, and partition by partition.
_GATHER_MEASURES = timedelta(seconds=1)
_GATHER_NAMES = timedelta(seconds=0.5)
# Beyond so many at once, as a run that ingests users brings them, all is looked through.
_MOST_NAMES = 200
_GATHER_MANY_NAMES = timedelta(seconds=10)
_EMPTY_PAUSE_S = 0.2
# A stream that never rests is taken in larger pages: a job for many datasets costs little more than
# one for a single one.
_PACE_S = 0.3
# What finds everything that events could have told of.
_CATCH_UP = (
    RECONCILE,
    NewJob(JobKind.AUDIT_ALL, dedupe_key=JobKind.AUDIT_ALL),
    scan_all_job(),
)


# What each group follows, the job that finds everything it could have been told of, and its pace.
_FOLLOWED: Mapping[Group, tuple[Sequence[Topic], NewJob, float]] = {
    Group.VECTOR_SYNC: ((Topic.VERSIONED,), _CATCH_UP[0], _PACE_S),
    Group.QUALITY_MONITOR: ((Topic.VERSIONED, Topic.TIMESERIES), _CATCH_UP[2], 1.0),
    Group.NOTIFICATION: ((Topic.VERSIONED,), _CATCH_UP[1], 1.0),
}


class EventConsumer:
    """Turns changes into index requests and jobs, in one transaction with the stream's cursor.

    Several workers may follow the same streams: the cursor moves once, what the others did is
    rolled back. ``on_jobs`` is told after which time jobs are due.
    """

    def __init__(
        self,
        hub: Hub,
        store: Store,
        wait: timedelta,
        on_jobs: Callable[[timedelta], None],
        pace_s: float = _PACE_S,
    ) -> None:
        self._hub = hub
        self._store = store
        self._wait = wait
        self._pace_s = pace_s
        self._intake = _Intake(store, on_jobs)

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
            await asyncio.sleep(self._pace_s)
        elif loop.time() - asked_at < _EMPTY_PAUSE_S:
            await asyncio.sleep(_EMPTY_PAUSE_S)  # a hub that does not wait

    async def _start(self, topic: Topic, previous: str | None, jobs: Sequence[NewJob]) -> None:
        page = await self._hub.poll(topic, None, _PAGE, timedelta(0))
        await self._take(topic, page, previous, jobs)

    async def _take(
        self, topic: Topic, page: EventPage, previous: str | None, jobs: Sequence[NewJob] = ()
    ) -> None:
        try:
            await self._intake.take(topic, page, previous, plan, jobs)
        except Conflict:
            _log.debug("%s: another worker took these events", topic)


class GroupConsumer:
    """Does a group's share of the work, one partition's cursor at a time.

    The cursors in the store are the truth about what is done. Where another worker has moved one,
    as the broker gave it the partition, what this one did is rolled back; it joins anew.
    ``has_begun`` is set once it has had a partition.
    """

    def __init__(
        self,
        group: Group,
        log: ChangeLog,
        store: Store,
        on_jobs: Callable[[timedelta], None],
        pace_s: float | None = None,
    ) -> None:
        """``pace_s``: the least time between two pages, the group's own where None."""
        self.group = group
        self.has_begun = asyncio.Event()
        self._log = log
        self._store = store
        self._intake = _Intake(store, on_jobs)
        self._topics, self._catch_up, pace_of_group = _FOLLOWED[group]
        self._pace_s = pace_of_group if pace_s is None else pace_s
        self._joined = AsyncExitStack()
        self._member: Member | None = None
        self._cursors: dict[Partition, str] = {}

    async def step(self) -> None:
        """Wait for the next changes of this worker's partitions, take and acknowledge them.

        It stays a member until something fails, and joins again at the next step.
        """
        try:
            if self._member is None:
                member = self._log.join(self.group, self._topics, self._begin)
                self._member = await self._joined.enter_async_context(member)
            pages = await self._member.receive(_PAGE)
            for partition, page in pages:
                await self._take(partition, page)
                await self._member.acknowledge(partition, page)
            if pages:
                await asyncio.sleep(self._pace_s)
        except BaseException:
            self._member = None
            self._cursors.clear()
            await self._joined.aclose()
            raise

    async def _take(self, partition: Partition, page: EventPage) -> None:
        previous = self._cursors[partition]
        await self._intake.take(self._stream(partition), page, previous, self._plan)
        self._cursors[partition] = page.cursor

    async def _begin(self, partition: Partition, kept: Kept) -> int:
        """Return where this group stands in a partition.

        Where it has no place in it, or what follows that was deleted, it begins at the end, and
        all is looked through.
        """
        stream = self._stream(partition)
        cursor = await self._store.cursor(stream)
        if cursor is None or not kept.first <= int(cursor) <= kept.end:
            if cursor is not None:
                _log.warning(
                    "%s starts anew, all is looked through: it stood at %s, and the broker keeps "
                    "%d to %d",
                    stream,
                    cursor,
                    *kept,
                )
            async with self._store.transaction() as tx:
                await tx.save_cursor(stream, str(kept.end), cursor)
                # The first full scan of a new installation is then the same job.
                await tx.add_jobs([replace(self._catch_up, delay=_GATHER_MEASURES)])
            cursor = str(kept.end)
        self._cursors[partition] = cursor
        self.has_begun.set()
        return int(cursor)

    def _plan(self, events: Sequence[MetadataEvent]) -> Plan:
        return share(plan(events), self.group)

    def _stream(self, partition: Partition) -> str:
        return f"{self.group}/{partition.topic}/{partition.number}"


class _Intake:
    """Saves what changes ask for together with the place up to which that is done."""

    def __init__(self, store: Store, on_jobs: Callable[[timedelta], None]) -> None:
        self._store = store
        self._on_jobs = on_jobs

    async def take(
        self,
        stream: str,
        page: EventPage,
        previous: str | None,
        plan: Callable[[Sequence[MetadataEvent]], Plan],
        jobs: Sequence[NewJob] = (),
    ) -> None:
        """Take a page, and what cannot be taken to the dead letters.

        Raises Conflict, having done nothing, where the stream's cursor is not at ``previous``.
        """
        planned = plan(page.events)
        try:
            await self._save(stream, page, previous, planned, jobs)
        except (Conflict, DependencyTimeout, DependencyUnavailable):
            raise
        except Exception:
            _log.exception("%s: a page of events failed, taking them one by one", stream)
            rejected = await self._take_singly(page.events, plan)
            left = replace(page, rejected=(*page.rejected, *rejected))
            await self._save(stream, left, previous, Plan(), jobs)
        for delay, is_needed in (
            (_GATHER, bool(planned.index or planned.audit)),
            (_GATHER_MEASURES, bool(planned.scan)),
            (_GATHER_NAMES, bool(planned.renamed)),
        ):
            if is_needed:
                self._on_jobs(delay)

    async def _save(
        self,
        stream: str,
        page: EventPage,
        previous: str | None,
        planned: Plan,
        jobs: Sequence[NewJob],
    ) -> None:
        async with self._store.transaction() as tx:
            await _apply(tx, planned, jobs)
            for text, error in (*page.rejected, *planned.rejected):
                await tx.reject_event(stream, text, error)
            await tx.save_cursor(stream, page.cursor, previous)
        rejected = len(page.rejected) + len(planned.rejected)
        if rejected:
            _log.warning("%s: %d events could not be read and were kept aside", stream, rejected)

    async def _take_singly(
        self,
        events: Sequence[MetadataEvent],
        plan: Callable[[Sequence[MetadataEvent]], Plan],
    ) -> list[RejectedEvent]:
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
    if len(planned.renamed) > _MOST_NAMES:
        jobs.append(replace(_CATCH_UP[0], delay=_GATHER_MANY_NAMES))
    elif planned.renamed:
        jobs.append(_carriers_job(planned.renamed))
    await tx.add_jobs([*jobs, *more])


def _carriers_job(urns: Sequence[str]) -> NewJob:
    kind = JobKind.REINDEX_CARRIERS
    key = f"{kind}:{deterministic_id(kind, *urns)}"
    return NewJob(kind, {"urns": list(urns)}, dedupe_key=key, delay=_GATHER_NAMES)
