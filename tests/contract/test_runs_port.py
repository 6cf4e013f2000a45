"""What any store does with runs: the one in memory and PostgreSQL, by the same tests."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.errors import Conflict, LeaseLost, NotFound
from dataspoke.ports.runs import ALL, Run, RunKind, RunState
from dataspoke.ports.store import Job, JobKind, Jobs, JobState, NewJob, Store

NONE = timedelta(0)
HOUR = timedelta(hours=1)
ABC = ["a", "b", "c"]


async def begin(
    store: Store, kind: RunKind = RunKind.REQUESTED, scope: str = ALL, urns: Sequence[str] = ABC
) -> Run:
    async with store.transaction() as tx:
        run = await tx.begin_run(kind, scope, "urn:li:corpuser:ann")
        assert await tx.fill_run(run.id, urns)
    return await get(store, run.id)


async def get(store: Store, run_id: UUID) -> Run:
    return (await store.runs([run_id]))[run_id]


async def count_done(store: Store, run: Run, *urns: str) -> Run:
    async with store.transaction() as tx:
        await tx.count_done(run.id, urns)
    return await get(store, run.id)


async def add(store: Store, run: Run, *urns: str) -> None:
    payload = {"run_id": str(run.id)} | ({"urns": list(urns)} if urns else {})
    async with store.transaction() as tx:
        await tx.add_jobs([NewJob(JobKind.SCAN_DATASETS, payload)])


async def claim(jobs: Jobs) -> Job:
    woken = (await jobs.due(1, HOUR))[0]
    job = await jobs.claim(woken.job_id, HOUR)
    assert job is not None
    return job


async def test_a_run_is_what_it_was_begun_as(store: Store) -> None:
    run = await begin(store)
    assert run == Run(
        run.id,
        RunKind.REQUESTED,
        ALL,
        RunState.RUNNING,
        run.started_at,
        total=3,
        requested_by="urn:li:corpuser:ann",
    )
    assert await store.runs([uuid4()]) == {}


async def test_a_scope_has_one_run_at_a_time(store: Store) -> None:
    run = await begin(store)
    async with store.transaction() as tx:
        joined = await tx.begin_run(RunKind.SCHEDULED, ALL, None)
        refit = await tx.begin_run(RunKind.REFIT, ALL, None)
        other = await tx.begin_run(RunKind.SCHEDULED, "urn:li:domain:shop", None)
        assert not await tx.fill_run(run.id, ["d"])
    assert joined == run
    assert len({run.id, refit.id, other.id}) == 3
    await count_done(store, run, *ABC)
    async with store.transaction() as tx:
        assert (await tx.begin_run(RunKind.SCHEDULED, ALL, None)).id != run.id


async def test_many_who_begin_at_once_get_one_run(emptied: AsyncEngine) -> None:
    store = PostgresStore(emptied)

    async def one() -> UUID:
        async with store.transaction() as tx:
            return (await tx.begin_run(RunKind.REQUESTED, ALL, None)).id

    assert len(set(await asyncio.gather(*(one() for _ in range(8))))) == 1


async def test_each_dataset_counts_once(store: Store) -> None:
    run = await begin(store)
    assert (await count_done(store, run, "a", "a", "x")).done == 1
    assert (await count_done(store, run, "a")).done == 1
    assert await store.left_of_run(run.id, ["c", "a", "b", "x"]) == ["b", "c"]
    ended = await count_done(store, run, "b", "c")
    assert (ended.done, ended.state) == (3, RunState.DONE)
    assert ended.finished_at is not None
    assert await store.left_of_run(run.id, ABC) == []


async def test_what_is_counted_at_once_is_counted_right(emptied: AsyncEngine) -> None:
    store, urns = PostgresStore(emptied), [f"{n:02}" for n in range(40)]
    run = await begin(store, urns=urns)
    parts = [urns[at : at + 10] for at in range(0, 40, 5)]
    await asyncio.gather(*(count_done(store, run, *part) for part in parts))
    ended = await get(store, run.id)
    assert (ended.done, ended.failed, ended.state) == (40, 0, RunState.DONE)


async def test_what_is_rolled_back_is_not_counted(store: Store, jobs: Jobs) -> None:
    run = await begin(store)
    await add(store, run, *ABC)
    job = await claim(jobs)
    await jobs.release(job.lease)
    with pytest.raises(LeaseLost):
        async with store.transaction(job.lease) as tx:
            await tx.count_done(run.id, ABC)
    assert (await get(store, run.id)).done == 0
    assert await store.left_of_run(run.id, ABC) == ABC


async def test_a_run_of_nothing_is_done(store: Store) -> None:
    run = await begin(store, urns=[])
    assert (run.state, run.total) == (RunState.DONE, 0)


async def test_a_job_that_is_given_up_fails_its_datasets(store: Store, jobs: Jobs) -> None:
    run = await begin(store)
    await count_done(store, run, "a")
    await add(store, run, "a", "b", "c")
    job = await claim(jobs)
    await jobs.fail(job.lease, "broken", None)
    await jobs.fail(job.lease, "broken", None)
    ended = await get(store, run.id)
    assert (ended.done, ended.failed, ended.state) == (1, 2, RunState.DONE)
    # What comes of a second life is put right.
    await jobs.revive(None)
    assert (await count_done(store, run, "b")).failed == 1
    assert (await get(store, run.id)).done == 2


async def test_a_run_that_cannot_be_listed_fails(store: Store, jobs: Jobs) -> None:
    async with store.transaction() as tx:
        run = await tx.begin_run(RunKind.REQUESTED, ALL, None)
    await add(store, run)
    await jobs.fail((await claim(jobs)).lease, "no hub", None)
    assert (await get(store, run.id)).state is RunState.FAILED
    async with store.transaction() as tx:
        assert not await tx.fill_run(run.id, ABC)
        resumed, left = await tx.resume_run(run.id)
        assert (resumed.state, resumed.total, left) == (RunState.RUNNING, None, [])
        assert await tx.fill_run(run.id, ABC)


async def test_a_cancelled_run_loses_the_jobs_that_wait(store: Store, jobs: Jobs) -> None:
    run, other = await begin(store), await begin(store, scope="urn:li:domain:shop")
    await add(store, run, "a")
    await add(store, run, "b")
    await add(store, other, "a")
    running = await claim(jobs)
    async with store.transaction() as tx:
        cancelled = await tx.cancel_run(run.id)
    assert cancelled.state is RunState.CANCELLED
    assert cancelled.finished_at is not None
    by_state = (await jobs.counts()).by_state
    assert (by_state[JobState.READY], by_state[JobState.RUNNING]) == (1, 1)
    assert await store.left_of_run(run.id, ABC) == []
    # What had begun is done and counts.
    async with store.transaction(running.lease) as tx:
        await tx.count_done(run.id, running.payload["urns"])
    assert (await get(store, run.id)).done == 1
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await tx.cancel_run(run.id)


async def test_a_run_is_resumed_with_what_is_left(store: Store, jobs: Jobs) -> None:
    run = await begin(store)
    await add(store, run, "a")
    await jobs.fail((await claim(jobs)).lease, "broken", None)
    await count_done(store, run, "b")
    async with store.transaction() as tx:
        await tx.cancel_run(run.id)
        resumed, left = await tx.resume_run(run.id)
    assert left == ["a", "c"]
    assert (resumed.state, resumed.done, resumed.failed) == (RunState.RUNNING, 1, 0)
    assert resumed.finished_at is None
    ended = await count_done(store, run, *left)
    assert (ended.done, ended.state) == (3, RunState.DONE)
    with pytest.raises(Conflict, match="Nothing is left"):
        async with store.transaction() as tx:
            await tx.resume_run(run.id)
    with pytest.raises(NotFound):
        async with store.transaction() as tx:
            await tx.resume_run(uuid4())


async def test_a_run_is_not_resumed_beside_another(store: Store) -> None:
    run = await begin(store)
    async with store.transaction() as tx:
        await tx.cancel_run(run.id)
    other = await begin(store)
    with pytest.raises(Conflict, match=str(other.id)):
        async with store.transaction() as tx:
            await tx.resume_run(run.id)


async def test_a_run_lets_other_jobs_go_first(store: Store, jobs: Jobs) -> None:
    run = await begin(store)
    for urn in ABC:
        await add(store, run, urn)
    async with store.transaction() as tx:
        await tx.add_jobs([NewJob(JobKind.SCAN_DATASETS, {"urns": ["d"]})])
    first, second = await jobs.due(2, HOUR)
    assert sorted([first.urgent, second.urgent]) == [False, True]
    assert [woken.urgent for woken in await jobs.due(10, HOUR)] == [False, False]


async def test_runs_are_listed_newest_first(store: Store) -> None:
    begun = [await begin(store, scope=f"urn:li:domain:{n}") for n in range(5)]
    newest = sorted(begun, key=lambda run: (run.started_at, run.id), reverse=True)
    assert await store.newest_runs(None, 3) == newest[:3]
    place = (newest[2].started_at, newest[2].id)
    assert await store.newest_runs(place, 3) == newest[3:]


async def test_giving_up_and_counting_at_once_do_not_deadlock(emptied: AsyncEngine) -> None:
    store, jobs = PostgresStore(emptied), PostgresJobs(emptied)
    urns = [f"{n:02}" for n in range(40)]
    run = await begin(store, urns=urns)
    for n in range(20):
        await add(store, run, *urns[n : n + 20])
    claimed = [await claim(jobs) for _ in range(20)]

    async def finish(job: Job) -> None:
        async with store.transaction(job.lease) as tx:
            await tx.count_done(run.id, job.payload["urns"])

    await asyncio.gather(
        *(finish(job) for job in claimed[::2]),
        *(jobs.fail(job.lease, "broken", None) for job in claimed[1::2]),
    )
    ended = await get(store, run.id)
    assert ended.done + ended.failed == 39
