"""Durable jobs in PostgreSQL: due rows, leases, fencing tokens, schedule slots."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Interval,
    Text,
    and_,
    any_,
    bindparam,
    case,
    exists,
    extract,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from dataspoke.adapters.postgres import runs
from dataspoke.adapters.postgres.errors import translated
from dataspoke.adapters.postgres.tables import jobs, schedule_slots
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

_new = insert(jobs).values(not_before=func.now() + bindparam("delay", type_=Interval))
# Joining a READY job locks its row until this commits, so that whoever runs it sees what is
# committed with it. A job that waits after a failure keeps its time.
_ADD = _new.on_conflict_do_update(
    index_elements=[jobs.c.dedupe_key],
    index_where=text("state = 'READY'"),
    set_={
        "not_before": case(
            (jobs.c.attempt > 0, jobs.c.not_before),
            else_=func.least(jobs.c.not_before, _new.excluded.not_before),
        )
    },
)


async def add_jobs(connection: AsyncConnection, new: Sequence[NewJob]) -> None:
    """Add jobs in the caller's transaction."""
    if not new:
        return
    # One order for everybody, so that two transactions with the same keys cannot deadlock.
    ordered = sorted(new, key=lambda job: job.dedupe_key or "")
    await connection.execute(
        _ADD,
        [
            {
                "id": uuid4(),
                "kind": job.kind,
                "payload": dict(job.payload),
                "dedupe_key": job.dedupe_key,
                "traceparent": job.traceparent,
                "delay": job.delay,
                "run_id": _run_id(job.payload),
            }
            for job in ordered
        ],
    )


async def finish_job(connection: AsyncConnection, lease: Lease) -> bool:
    """Mark the job done in the caller's transaction; False where the lease has been lost."""
    done = await connection.execute(
        update(jobs)
        .where(_held(lease))
        .values(state=JobState.DONE, lease_until=None, finished_at=func.now())
    )
    return done.rowcount == 1


def _run_id(payload: Mapping[str, Any]) -> UUID | None:
    return UUID(payload["run_id"]) if payload.get("run_id") else None


def _held(lease: Lease) -> ColumnElement[bool]:
    return and_(
        jobs.c.id == lease.job_id, jobs.c.token == lease.token, jobs.c.state == JobState.RUNNING
    )


def _is_due() -> ColumnElement[bool]:
    twin = jobs.alias()
    runs_already = exists().where(
        twin.c.dedupe_key == jobs.c.dedupe_key,
        twin.c.id != jobs.c.id,
        twin.c.state == text("'RUNNING'"),
        twin.c.lease_until > func.now(),
    )
    return or_(
        and_(jobs.c.state == text("'READY'"), jobs.c.not_before <= func.now(), ~runs_already),
        and_(jobs.c.state == text("'RUNNING'"), jobs.c.lease_until <= func.now()),
    )


class PostgresJobs:
    """The Jobs port; every time is the database's."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def due(self, limit: int, quiet: timedelta) -> Sequence[WakeUp]:
        found = (
            select(jobs.c.id)
            .where(
                _is_due(),
                or_(jobs.c.woken_at.is_(None), jobs.c.woken_at <= func.now() - quiet),
            )
            .order_by(jobs.c.run_id.is_not(None), jobs.c.kind.in_(PATIENT), jobs.c.not_before)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        woken = (
            update(jobs)
            .where(jobs.c.id.in_(found))
            .values(woken_at=func.now())
            .returning(jobs.c.id, jobs.c.token, jobs.c.kind, jobs.c.run_id)
        )
        with translated():
            async with self._engine.begin() as connection:
                return [
                    WakeUp(
                        row.id,
                        row.token,
                        urgent=row.run_id is None and row.kind not in PATIENT,
                    )
                    for row in await connection.execute(woken)
                ]

    async def claim(self, job_id: UUID, lease_for: timedelta) -> Job | None:
        claimed = (
            update(jobs)
            .where(jobs.c.id == job_id, _is_due())
            .values(
                state=JobState.RUNNING,
                token=jobs.c.token + 1,
                attempt=jobs.c.attempt + 1,
                lease_until=func.clock_timestamp() + lease_for,
                woken_at=None,
            )
            .returning(jobs)
        )
        with translated():
            async with self._engine.begin() as connection:
                row = (await connection.execute(claimed)).one_or_none()
        if row is None:
            return None
        lease = Lease(row.id, row.token)
        return Job(lease, JobKind(row.kind), row.payload, row.attempt, row.traceparent)

    async def heartbeat(self, lease: Lease, lease_for: timedelta) -> bool:
        extended = (
            update(jobs).where(_held(lease)).values(lease_until=func.clock_timestamp() + lease_for)
        )
        with translated():
            async with self._engine.begin() as connection:
                return (await connection.execute(extended)).rowcount == 1

    async def finish(self, lease: Lease) -> bool:
        with translated():
            async with self._engine.begin() as connection:
                return await finish_job(connection, lease)

    async def release(self, lease: Lease) -> None:
        await self._give_back(lease, timedelta(0), {"attempt": jobs.c.attempt - 1})

    async def fail(self, lease: Lease, error: str, retry_in: timedelta | None) -> None:
        # PostgreSQL keeps no NUL in a text.
        error = error.replace("\0", "�")
        if retry_in is not None:
            await self._give_back(lease, retry_in, {"error": error})
            return
        dead = (
            update(jobs)
            .where(_held(lease))
            .values(state=JobState.DEAD, lease_until=None, error=error, finished_at=func.now())
        )
        belongs = select(jobs.c.run_id, jobs.c.payload).where(_held(lease))
        with translated():
            async with self._engine.begin() as connection:
                held = (await connection.execute(belongs)).one_or_none()
                run_id = None if held is None else held.run_id
                if run_id is not None:
                    # Before the job's row, as a scan that counts what it did locks them.
                    await runs.lock(connection, run_id)
                gone = await connection.execute(dead)
                if held is not None and run_id is not None and gone.rowcount:
                    await runs.give_up(connection, run_id, held.payload.get("urns"))

    async def _give_back(self, lease: Lease, delay: timedelta, values: dict[str, Any]) -> None:
        with translated():
            while True:
                try:
                    async with self._engine.begin() as connection:
                        return await self._make_ready(connection, lease, delay, values)
                except IntegrityError:
                    # A job with the same key was added between the look and the change.
                    continue

    @staticmethod
    async def _make_ready(
        connection: AsyncConnection, lease: Lease, delay: timedelta, values: dict[str, Any]
    ) -> None:
        held = (
            await connection.execute(
                select(jobs.c.dedupe_key, jobs.c.attempt).where(_held(lease)).with_for_update()
            )
        ).one_or_none()
        if held is None:
            return
        twin = await connection.execute(
            update(jobs)
            # Compared by a parameter: with None in Python this would be IS NULL, and every job
            # without a key a twin.
            .where(
                jobs.c.dedupe_key == literal(held.dedupe_key, Text),
                jobs.c.state == text("'READY'"),
            )
            .values(
                attempt=func.greatest(jobs.c.attempt, held.attempt),
                not_before=func.greatest(jobs.c.not_before, func.now() + delay),
            )
        )
        given_back = {"state": JobState.READY, "not_before": func.now() + delay}
        superseded = {"state": JobState.DONE, "finished_at": func.now()}
        await connection.execute(
            update(jobs)
            .where(jobs.c.id == lease.job_id)
            .values(lease_until=None, **values, **(superseded if twin.rowcount else given_back))
        )

    async def fill_slot(self, schedule: str, newest: NewestSlot, job: NewJob) -> bool:
        with translated():
            async with self._engine.begin() as connection:
                now = (await connection.execute(select(func.now()))).scalar_one()
                slot = literal(newest(now), schedule_slots.c.slot.type)
                later = (
                    select(schedule_slots.c.slot)
                    .where(schedule_slots.c.schedule_id == schedule, schedule_slots.c.slot >= slot)
                    .exists()
                )
                filled = (
                    insert(schedule_slots)
                    .from_select(
                        ["schedule_id", "slot"], select(literal(schedule), slot).where(~later)
                    )
                    .on_conflict_do_nothing()
                )
                if (await connection.execute(filled)).rowcount == 0:
                    return False
                await add_jobs(connection, [job])
                return True

    async def counts(self) -> JobCounts:
        waiting = and_(jobs.c.state == text("'READY'"), jobs.c.not_before <= func.now())
        age = extract("epoch", func.now() - func.min(jobs.c.not_before).filter(waiting))
        counted = select(jobs.c.state, func.count().label("jobs"), age.label("age")).group_by(
            jobs.c.state
        )
        with translated():
            async with self._engine.connect() as connection:
                rows = {row.state: row for row in await connection.execute(counted)}
        by_state = {state: rows[state].jobs if state in rows else 0 for state in JobState}
        ready = rows.get(JobState.READY)
        oldest = None if ready is None or ready.age is None else float(ready.age)
        return JobCounts(by_state, oldest)

    async def pending(self, kinds: Sequence[JobKind]) -> int:
        counted = (
            select(func.count())
            .select_from(jobs)
            .where(
                or_(jobs.c.state == text("'READY'"), jobs.c.state == text("'RUNNING'")),
                jobs.c.kind == any_(literal(list(kinds), ARRAY(Text))),
            )
        )
        with translated():
            async with self._engine.connect() as connection:
                return (await connection.execute(counted)).scalar_one()

    async def revive(self, kind: JobKind | None) -> int:
        dead = [jobs.c.state == text("'DEAD'")]
        if kind is not None:
            dead.append(jobs.c.kind == kind)
        other = jobs.alias()
        # The same work is there already, or twice among the dead: once is enough.
        superseded = (
            select(other.c.id)
            .where(
                other.c.dedupe_key == jobs.c.dedupe_key,
                or_(
                    other.c.state == text("'READY'"),
                    and_(other.c.state == text("'DEAD'"), other.c.id < jobs.c.id),
                ),
            )
            .exists()
        )
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(
                    update(jobs).where(*dead, superseded).values(state=JobState.DONE)
                )
                revived = await connection.execute(
                    update(jobs)
                    .where(*dead)
                    .values(
                        state=JobState.READY,
                        attempt=0,
                        not_before=func.now(),
                        woken_at=None,
                        finished_at=None,
                    )
                )
                return revived.rowcount
