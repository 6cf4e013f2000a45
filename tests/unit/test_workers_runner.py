import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.jobs import MemoryJobs
from dataspoke.adapters.memory.queue import MemoryQueue
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.errors import DependencyUnavailable, InvalidInput
from dataspoke.ports.queue import WakeUp
from dataspoke.ports.store import JobKind, JobState, Lease, NewJob
from dataspoke.settings import WorkerSettings
from dataspoke.workers.relay import Relay
from dataspoke.workers.runner import Runner
from tests.support.waiting import until

KIND = JobKind.REINDEX
Do = Callable[[Lease], Awaitable[None]]


class World:
    def __init__(self, **settings: Any) -> None:
        self.clock = MemoryClock()
        self.store = MemoryStore(self.clock)
        self.jobs = MemoryJobs(self.store)
        self.ended = 0
        self.do: Do = self.finish
        self.runner = Runner(
            self.jobs, {KIND: self._work}, WorkerSettings(**settings), on_end=self._end
        )

    async def finish(self, lease: Lease) -> None:
        async with self.store.transaction(lease):
            pass

    async def _work(self, lease: Lease, payload: Mapping[str, Any]) -> None:
        await self.do(lease)

    def _end(self) -> None:
        self.ended += 1

    async def add(self, kind: JobKind = KIND) -> UUID:
        async with self.store.transaction() as tx:
            await tx.add_jobs([NewJob(kind)])
        woken = await self.jobs.due(1, timedelta(hours=1))
        return woken[0].job_id

    async def run(self, job_id: UUID) -> None:
        running = await self.runner.begin(job_id)
        assert running is not None
        await running

    async def states(self) -> dict[JobState, int]:
        return {state: n for state, n in (await self.jobs.counts()).by_state.items() if n}


async def test_a_job_is_claimed_run_and_done_once() -> None:
    world = World()
    job_id = await world.add()
    await world.run(job_id)
    assert await world.states() == {JobState.DONE: 1}
    assert await world.runner.begin(job_id) is None
    await asyncio.sleep(0)
    assert world.ended == 1


async def test_an_error_gives_the_job_back_until_its_tries_are_used_up() -> None:
    world = World(max_attempts=3)
    job_id = await world.add()

    async def fail(lease: Lease) -> None:
        raise ValueError("a bug")

    world.do = fail
    for _ in range(2):
        await world.run(job_id)
        assert await world.states() == {JobState.READY: 1}
        assert await world.runner.begin(job_id) is None, "it waits before the next try"
        world.clock.advance(timedelta(minutes=1))
    await world.run(job_id)
    assert await world.states() == {JobState.DEAD: 1}


async def test_what_repeating_cannot_help_is_given_up_at_once() -> None:
    world = World()

    async def fail(lease: Lease) -> None:
        raise InvalidInput("no such thing")

    world.do = fail
    await world.run(await world.add())
    assert await world.states() == {JobState.DEAD: 1}


async def test_a_kind_that_this_release_does_not_know_is_given_up_in_the_end() -> None:
    world = World(max_attempts=1)
    await world.run(await world.add(JobKind.SCAN_ALL))
    assert await world.states() == {JobState.DEAD: 1}


async def test_a_job_that_kills_its_workers_is_given_up() -> None:
    world = World(max_attempts=1)
    job_id = await world.add()
    for _ in range(5):
        assert await world.jobs.claim(job_id, timedelta(0)) is not None
    await world.run(job_id)
    assert await world.states() == {JobState.DEAD: 1}


async def test_a_job_that_takes_too_long_is_stopped_and_tried_again() -> None:
    world = World(job_timeout_s=0.05)
    stopped = asyncio.Event()

    async def dawdle(lease: Lease) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    world.do = dawdle
    await world.run(await world.add())
    assert stopped.is_set()
    assert await world.states() == {JobState.READY: 1}


async def test_a_lost_lease_stops_the_work_and_says_nothing_bad(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(lease_s=0.05)
    job_id = await world.add()
    stopped = asyncio.Event()

    async def dawdle(lease: Lease) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    world.do = dawdle
    running = await world.runner.begin(job_id)
    assert running is not None
    world.clock.advance(timedelta(minutes=1))
    assert await world.jobs.claim(job_id, timedelta(hours=1)) is not None
    with caplog.at_level(logging.WARNING):
        await running
    assert stopped.is_set()
    assert await world.states() == {JobState.RUNNING: 1}
    assert caplog.records == []


async def test_heartbeats_keep_the_lease() -> None:
    world = World(lease_s=0.06)
    job_id = await world.add()
    end = asyncio.Event()

    async def dawdle(lease: Lease) -> None:
        await end.wait()
        await world.finish(lease)

    world.do = dawdle
    running = await world.runner.begin(job_id)
    for _ in range(5):
        # Each time the lease would have run out, had it not been renewed meanwhile.
        world.clock.advance(timedelta(seconds=0.05))
        await asyncio.sleep(0.05)
        assert await world.jobs.claim(job_id, timedelta(hours=1)) is None
    end.set()
    assert running is not None
    await running
    assert await world.states() == {JobState.DONE: 1}


async def test_at_the_end_jobs_get_a_while_and_are_given_back_then() -> None:
    world = World(concurrency=2)
    quick, slow = await world.add(), await world.add()
    begun = asyncio.Event()

    async def dawdle(lease: Lease) -> None:
        if lease.job_id == slow:
            await asyncio.sleep(60)
        await begun.wait()
        await world.finish(lease)

    world.do = dawdle
    assert await world.runner.begin(quick) is not None
    assert await world.runner.begin(slow) is not None
    begun.set()
    await world.runner.stop(timedelta(seconds=0.1))
    assert await world.states() == {JobState.DONE: 1, JobState.READY: 1}
    again = await world.jobs.claim(slow, timedelta(hours=1))
    assert again is not None
    assert again.attempt == 1


async def test_no_more_jobs_run_than_there_are_places() -> None:
    world = World(concurrency=1)
    end = asyncio.Event()

    async def dawdle(lease: Lease) -> None:
        await end.wait()
        await world.finish(lease)

    world.do = dawdle
    await world.runner.begin(await world.add())
    waiting = asyncio.create_task(world.runner.begin(await world.add()))
    await asyncio.sleep(0.01)
    assert await world.states() == {JobState.RUNNING: 1, JobState.READY: 1}
    end.set()
    running = await waiting
    assert running is not None
    await running
    assert await world.states() == {JobState.DONE: 2}


class FailingQueue(MemoryQueue):
    down = False

    async def wake(self, jobs: Sequence[WakeUp]) -> None:
        if self.down and jobs:
            raise DependencyUnavailable("queue", "down")
        await super().wake(jobs)


async def test_the_relay_keeps_what_it_could_not_send() -> None:
    world, queue = World(), FailingQueue()
    async with world.store.transaction() as tx:
        await tx.add_jobs([NewJob(KIND)])
    relay = Relay(world.jobs, queue)
    queue.down = True
    for _ in range(2):
        with pytest.raises(DependencyUnavailable):
            await relay.step()
    queue.down = False
    relay.hurry()
    await relay.step()
    assert len(queue.sent) == 1


async def test_the_relay_looks_at_once_when_it_is_hurried() -> None:
    world, queue = World(), MemoryQueue()
    relay = Relay(world.jobs, queue)
    looking = asyncio.create_task(relay.step())
    await asyncio.sleep(0.01)
    async with world.store.transaction() as tx:
        await tx.add_jobs([NewJob(KIND)])
    relay.hurry(timedelta(milliseconds=5))
    async with asyncio.timeout(0.4):
        await looking
    sending = asyncio.create_task(relay.step())
    await until(lambda: bool(queue.sent), "the wake-up", deadline_s=0.4)
    sending.cancel()
