"""What any Jobs does: the one in memory and the one on PostgreSQL, by the same tests.

A lease of no length has expired at once, so that no test has to wait.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import time_machine
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.errors import LeaseLost
from dataspoke.ports.store import Job, JobKind, Jobs, JobState, NewJob, Store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NONE = timedelta(0)
HOUR = timedelta(hours=1)
KIND = JobKind.SCAN_DATASETS
PLAIN = NewJob(KIND)


async def add(store: Store, *jobs: NewJob) -> None:
    async with store.transaction() as tx:
        await tx.add_jobs(jobs)


async def due(jobs: Jobs) -> list[UUID]:
    return [woken.job_id for woken in await jobs.due(100, NONE)]


async def claim(jobs: Jobs, job_id: UUID, lease_for: timedelta = HOUR) -> Job:
    job = await jobs.claim(job_id, lease_for)
    assert job is not None
    return job


async def claimed(
    store: Store, jobs: Jobs, new: NewJob = PLAIN, lease_for: timedelta = HOUR
) -> Job:
    await add(store, new)
    (job_id,) = await due(jobs)
    return await claim(jobs, job_id, lease_for)


async def states(jobs: Jobs) -> dict[JobState, int]:
    return {state: n for state, n in (await jobs.counts()).by_state.items() if n}


async def test_a_job_is_claimed_once_and_as_it_was_added(store: Store, jobs: Jobs) -> None:
    new = NewJob(KIND, {"urn": "a", "n": [1, None]}, traceparent="00-1-2-01")
    job = await claimed(store, jobs, new)
    assert (job.kind, job.payload, job.traceparent, job.attempt) == (
        KIND,
        {"urn": "a", "n": [1, None]},
        "00-1-2-01",
        1,
    )
    assert await jobs.claim(job.lease.job_id, HOUR) is None
    assert await jobs.claim(uuid4(), HOUR) is None
    assert await due(jobs) == []
    assert await jobs.finish(job.lease)
    assert not await jobs.finish(job.lease)
    assert await jobs.claim(job.lease.job_id, HOUR) is None


async def test_a_job_waits_for_its_time(store: Store, jobs: Jobs) -> None:
    await add(store, NewJob(KIND, delay=HOUR))
    assert await due(jobs) == []
    assert (await jobs.counts()).oldest_due_age_s is None
    assert await jobs.pending([KIND]) == 1
    assert await jobs.pending([JobKind.REINDEX]) == 0


async def test_a_job_is_woken_again_after_a_quiet_while_only(store: Store, jobs: Jobs) -> None:
    await add(store, NewJob(KIND), NewJob(KIND))
    assert len(await jobs.due(1, HOUR)) == 1
    assert len(await jobs.due(10, HOUR)) == 1
    assert await jobs.due(10, HOUR) == []
    assert len(await jobs.due(10, NONE)) == 2


async def test_what_nobody_waits_for_is_woken_behind_the_rest(store: Store, jobs: Jobs) -> None:
    await add(store, NewJob(JobKind.AUDIT_DATASETS), NewJob(JobKind.BACKFILL))
    await add(store, NewJob(JobKind.REINDEX))
    woken = await jobs.due(10, NONE)
    assert [one.urgent for one in woken].count(True) == 1
    first = [one.job_id for one in woken if one.urgent]
    assert (await claim(jobs, first[0])).kind is JobKind.REINDEX
    assert not any(one.urgent for one in await jobs.due(1, NONE))


async def test_two_jobs_with_one_key_do_not_run_at_once(store: Store, jobs: Jobs) -> None:
    keyed = NewJob(KIND, dedupe_key="a")
    first = await claimed(store, jobs, keyed)
    await add(store, keyed, NewJob(KIND, dedupe_key="b"), NewJob(KIND))
    assert len(await due(jobs)) == 2, "those with another key, or none, need not wait"
    assert await jobs.finish(first.lease)
    waiting = await due(jobs)
    assert len(waiting) == 3
    for job_id in waiting:
        await claim(jobs, job_id)


async def test_a_job_does_not_wait_for_one_whose_lease_has_expired(
    store: Store, jobs: Jobs
) -> None:
    silent = await claimed(store, jobs, NewJob(KIND, dedupe_key="a"), lease_for=NONE)
    await add(store, NewJob(KIND, dedupe_key="a"))
    second, third = await due(jobs)
    assert silent.lease.job_id in (second, third)
    (other,) = {second, third} - {silent.lease.job_id}
    await claim(jobs, other)


async def test_an_expired_lease_is_taken_over_with_a_higher_token(store: Store, jobs: Jobs) -> None:
    first = await claimed(store, jobs, lease_for=NONE)
    assert await due(jobs) == [first.lease.job_id]
    second = await claim(jobs, first.lease.job_id)
    assert second.lease.token > first.lease.token
    assert second.attempt == 2
    assert not await jobs.heartbeat(first.lease, HOUR)
    assert await jobs.heartbeat(second.lease, HOUR)
    with pytest.raises(LeaseLost):
        async with store.transaction(first.lease) as tx:
            await tx.audit("first", "wrote", [])
    await jobs.fail(first.lease, "too late", None)
    await jobs.release(first.lease)
    assert await states(jobs) == {JobState.RUNNING: 1}
    assert await jobs.finish(second.lease)


async def test_a_heartbeat_renews_even_an_expired_lease(store: Store, jobs: Jobs) -> None:
    job = await claimed(store, jobs, lease_for=NONE)
    assert await jobs.heartbeat(job.lease, HOUR)
    assert await due(jobs) == []


async def test_a_failed_job_is_tried_again_at_its_time(store: Store, jobs: Jobs) -> None:
    job = await claimed(store, jobs)
    await jobs.fail(job.lease, "broken\0", HOUR)
    assert await due(jobs) == []
    assert await states(jobs) == {JobState.READY: 1}


async def test_a_job_that_is_given_back_has_lost_no_try(store: Store, jobs: Jobs) -> None:
    job = await claimed(store, jobs)
    await jobs.release(job.lease)
    again = await claim(jobs, job.lease.job_id)
    assert again.attempt == 1
    assert again.lease.token > job.lease.token


async def test_jobs_without_a_key_never_stand_for_each_other(store: Store, jobs: Jobs) -> None:
    await add(store, *(NewJob(KIND, {"n": n}) for n in range(3)))
    first, second, _ = await due(jobs)
    await jobs.fail((await claim(jobs, first)).lease, "broken", NONE)
    await jobs.release((await claim(jobs, second)).lease)
    assert await states(jobs) == {JobState.READY: 3}
    attempts = [(await claim(jobs, job_id)).attempt for job_id in await due(jobs)]
    assert sorted(attempts) == [1, 1, 2]


async def test_the_same_work_waits_once(store: Store, jobs: Jobs) -> None:
    await add(store, NewJob(KIND, dedupe_key="a", delay=HOUR), NewJob(KIND, dedupe_key="b"))
    await add(store, NewJob(KIND, dedupe_key="a"))
    assert len(await due(jobs)) == 2
    assert await states(jobs) == {JobState.READY: 2}


async def test_work_asked_for_while_it_runs_is_done_again(store: Store, jobs: Jobs) -> None:
    job = await claimed(store, jobs, NewJob(KIND, dedupe_key="a"))
    await add(store, NewJob(KIND, dedupe_key="a"))
    assert await states(jobs) == {JobState.READY: 1, JobState.RUNNING: 1}
    # Where the first fails the second takes its place, with the tries that were made.
    await jobs.fail(job.lease, "broken", NONE)
    assert await states(jobs) == {JobState.READY: 1, JobState.DONE: 1}
    (job_id,) = await due(jobs)
    assert job_id != job.lease.job_id
    assert (await claim(jobs, job_id)).attempt == 2


async def test_a_job_that_was_given_up_can_be_revived(store: Store, jobs: Jobs) -> None:
    job = await claimed(store, jobs)
    await jobs.fail(job.lease, "broken", None)
    assert await states(jobs) == {JobState.DEAD: 1}
    assert await due(jobs) == []
    assert await jobs.claim(job.lease.job_id, HOUR) is None
    assert await jobs.revive(JobKind.REINDEX) == 0
    assert await jobs.revive(KIND) == 1
    assert (await claim(jobs, job.lease.job_id)).attempt == 1


async def test_the_dead_are_revived_once_for_each_key(store: Store, jobs: Jobs) -> None:
    for _ in range(2):
        job = await claimed(store, jobs, NewJob(KIND, dedupe_key="a"))
        await jobs.fail(job.lease, "broken", None)
    assert await jobs.revive(None) == 1
    assert await states(jobs) == {JobState.READY: 1, JobState.DONE: 1}


async def test_a_slot_is_filled_by_one_of_many(store: Store, jobs: Jobs) -> None:
    filled = await asyncio.gather(
        *(jobs.fill_slot("scan", lambda now: EPOCH, NewJob(KIND)) for _ in range(8))
    )
    assert sorted(filled) == [False] * 7 + [True]
    assert await states(jobs) == {JobState.READY: 1}
    assert await jobs.fill_slot("audit", lambda now: EPOCH, NewJob(KIND))


async def test_slots_are_filled_forwards_only(jobs: Jobs) -> None:
    hours = [1, 5, 3, 5, 6]
    filled = [
        await jobs.fill_slot("scan", lambda now, hour=hour: EPOCH + hour * HOUR, NewJob(KIND))  # type: ignore[misc]
        for hour in hours
    ]
    # What comes after a while is made up for once: by the newest.
    assert filled == [True, True, False, False, True]


async def test_a_slot_is_told_by_the_time_of_the_store(emptied: AsyncEngine) -> None:
    told: list[datetime] = []

    def newest(now: datetime) -> datetime:
        told.append(now)
        return now

    with time_machine.travel(datetime(2001, 1, 1, tzinfo=UTC)):
        await PostgresJobs(emptied).fill_slot("scan", newest, NewJob(KIND))
    assert told[0] > datetime(2026, 1, 1, tzinfo=UTC)


async def test_many_relays_and_workers_get_each_job_once(emptied: AsyncEngine) -> None:
    jobs, store = PostgresJobs(emptied), PostgresStore(emptied)
    await add(store, *(NewJob(KIND) for _ in range(40)))
    woken = await asyncio.gather(*(jobs.due(10, HOUR) for _ in range(6)))
    ids = [one.job_id for batch in woken for one in batch]
    assert len(ids) == len(set(ids)) == 40
    taken = await asyncio.gather(*(jobs.claim(job_id, HOUR) for job_id in ids * 2))
    assert len([job for job in taken if job is not None]) == 40
