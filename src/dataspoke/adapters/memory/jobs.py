"""Job rows in memory: the same states, leases and fencing tokens as the tables of PostgreSQL."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from dataspoke.adapters.memory.runs import RunTable
from dataspoke.ports.queue import WakeUp
from dataspoke.ports.store import (
    PATIENT,
    Job,
    JobCounts,
    JobKind,
    JobState,
    Lease,
    NewestSlot,
    NewJob,
)

if TYPE_CHECKING:
    from dataspoke.adapters.memory.store import MemoryStore


@dataclass(frozen=True, slots=True)
class JobRow:
    id: UUID
    kind: JobKind
    payload: str
    dedupe_key: str | None
    traceparent: str | None
    not_before: datetime
    state: JobState = JobState.READY
    attempt: int = 0
    token: int = 0
    lease_until: datetime | None = None
    woken_at: datetime | None = None
    error: str | None = None
    finished_at: datetime | None = None

    @property
    def run_id(self) -> UUID | None:
        run_id = json.loads(self.payload).get("run_id")
        return None if run_id is None else UUID(run_id)

    def is_due(self, now: datetime) -> bool:
        if self.state is JobState.READY:
            return self.not_before <= now
        return (
            self.state is JobState.RUNNING
            and self.lease_until is not None
            and (self.lease_until <= now)
        )


@dataclass
class JobTable:
    rows: dict[UUID, JobRow] = field(default_factory=dict)
    slots: set[tuple[str, datetime]] = field(default_factory=set)
    runs: RunTable = field(default_factory=RunTable)

    def copy(self) -> "JobTable":
        return JobTable(dict(self.rows), set(self.slots), self.runs.copy())

    def add(self, job: NewJob, now: datetime) -> None:
        payload = json.dumps(dict(job.payload))  # refuses what PostgreSQL could not keep either
        due = now + job.delay
        twin = self._ready(job.dedupe_key)
        if twin is not None:
            # A job that waits after a failure keeps its time.
            if twin.attempt == 0:
                self.rows[twin.id] = replace(twin, not_before=min(twin.not_before, due))
            return
        row = JobRow(uuid4(), job.kind, payload, job.dedupe_key, job.traceparent, due)
        self.rows[row.id] = row

    def runs_already(self, row: JobRow, now: datetime) -> bool:
        """Tell whether a READY job has to wait for another with its key."""
        return (
            row.state is JobState.READY
            and row.dedupe_key is not None
            and any(
                twin.dedupe_key == row.dedupe_key
                and twin.state is JobState.RUNNING
                and not twin.is_due(now)
                for twin in self.rows.values()
            )
        )

    def held(self, lease: Lease) -> JobRow | None:
        row = self.rows.get(lease.job_id)
        if row is None or row.state is not JobState.RUNNING or row.token != lease.token:
            return None
        return row

    def finish(self, lease: Lease, now: datetime) -> bool:
        row = self.held(lease)
        if row is None:
            return False
        self.rows[row.id] = replace(row, state=JobState.DONE, lease_until=None, finished_at=now)
        return True

    def make_ready(self, row: JobRow) -> bool:
        """Make ``row`` READY, or done where a READY one with its key takes its place."""
        twin = self._ready(row.dedupe_key)
        if twin is not None:
            self.rows[twin.id] = replace(
                twin,
                attempt=max(twin.attempt, row.attempt),
                not_before=max(twin.not_before, row.not_before),
            )
        state = JobState.READY if twin is None else JobState.DONE
        finished_at = None if twin is None else row.not_before
        self.rows[row.id] = replace(
            row, state=state, lease_until=None, woken_at=None, finished_at=finished_at
        )
        return twin is None

    def drop(self, run_id: UUID) -> None:
        """Delete the READY jobs of a run."""
        for row in list(self.rows.values()):
            if row.state is JobState.READY and row.run_id == run_id:
                del self.rows[row.id]

    def ready(self) -> list[NewJob]:
        return [
            NewJob(row.kind, json.loads(row.payload), row.dedupe_key, traceparent=row.traceparent)
            for row in self.rows.values()
            if row.state is JobState.READY
        ]

    def _ready(self, dedupe_key: str | None) -> JobRow | None:
        if dedupe_key is None:
            return None
        return next(
            (
                row
                for row in self.rows.values()
                if row.dedupe_key == dedupe_key and row.state is JobState.READY
            ),
            None,
        )


class MemoryJobs:
    """The Jobs port over a MemoryStore's rows and clock."""

    def __init__(self, store: "MemoryStore") -> None:
        self._store = store

    async def due(self, limit: int, quiet: timedelta) -> Sequence[WakeUp]:
        async with self._store.jobs() as (table, now):
            found = sorted(
                (
                    row
                    for row in table.rows.values()
                    if row.is_due(now)
                    and not table.runs_already(row, now)
                    and (row.woken_at is None or row.woken_at <= now - quiet)
                ),
                key=lambda row: (row.run_id is not None, row.kind in PATIENT, row.not_before),
            )[:limit]
            for row in found:
                table.rows[row.id] = replace(row, woken_at=now)
            return [
                WakeUp(row.id, row.token, urgent=row.run_id is None and row.kind not in PATIENT)
                for row in found
            ]

    async def claim(self, job_id: UUID, lease_for: timedelta) -> Job | None:
        async with self._store.jobs() as (table, now):
            row = table.rows.get(job_id)
            if row is None or not row.is_due(now) or table.runs_already(row, now):
                return None
            row = replace(
                row,
                state=JobState.RUNNING,
                token=row.token + 1,
                attempt=row.attempt + 1,
                lease_until=now + lease_for,
                woken_at=None,
            )
            table.rows[job_id] = row
            payload: Mapping[str, Any] = json.loads(row.payload)
            lease = Lease(row.id, row.token)
            return Job(lease, row.kind, payload, row.attempt, row.traceparent)

    async def heartbeat(self, lease: Lease, lease_for: timedelta) -> bool:
        async with self._store.jobs() as (table, now):
            row = table.held(lease)
            if row is None:
                return False
            table.rows[row.id] = replace(row, lease_until=now + lease_for)
            return True

    async def finish(self, lease: Lease) -> bool:
        async with self._store.jobs() as (table, now):
            return table.finish(lease, now)

    async def release(self, lease: Lease) -> None:
        async with self._store.jobs() as (table, now):
            row = table.held(lease)
            if row is not None:
                table.make_ready(replace(row, attempt=row.attempt - 1, not_before=now))

    async def fail(self, lease: Lease, error: str, retry_in: timedelta | None) -> None:
        async with self._store.jobs() as (table, now):
            row = table.held(lease)
            if row is None:
                return
            row = replace(row, error=error)
            if retry_in is None:
                table.rows[row.id] = replace(row, state=JobState.DEAD, lease_until=None)
                if row.run_id is not None:
                    table.runs.give_up(row.run_id, json.loads(row.payload).get("urns"), now)
            else:
                table.make_ready(replace(row, not_before=now + retry_in))

    async def fill_slot(self, schedule: str, newest: NewestSlot, job: NewJob) -> bool:
        async with self._store.jobs() as (table, now):
            slot = newest(now)
            if any(name == schedule and filled >= slot for name, filled in table.slots):
                return False
            table.slots.add((schedule, slot))
            table.add(job, now)
            return True

    async def counts(self) -> JobCounts:
        async with self._store.jobs() as (table, now):
            waiting = [
                row.not_before
                for row in table.rows.values()
                if row.state is JobState.READY and row.is_due(now)
            ]
            by_state = Counter(row.state for row in table.rows.values())
            oldest = (now - min(waiting)).total_seconds() if waiting else None
            return JobCounts({state: by_state[state] for state in JobState}, oldest)

    async def pending(self, kinds: Sequence[JobKind]) -> int:
        async with self._store.jobs() as (table, _):
            return sum(
                row.kind in kinds and row.state in (JobState.READY, JobState.RUNNING)
                for row in table.rows.values()
            )

    async def revive(self, kind: JobKind | None) -> int:
        async with self._store.jobs() as (table, now):
            dead = [
                row
                for row in table.rows.values()
                if row.state is JobState.DEAD and kind in (None, row.kind)
            ]
            return sum(table.make_ready(replace(row, attempt=0, not_before=now)) for row in dead)
