"""What happens to jobs when processes and servers fail: nothing is lost, nothing is doubled.

Each job writes one row that nothing makes unique. The servers are this module's own, as they are
killed too.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.postgres import migrate
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.jobs import PostgresJobs
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.postgres.tables import (
    alert_changes,
    alerts,
    audit_log,
    metadata,
    schedule_slots,
)
from dataspoke.adapters.postgres.tables import jobs as jobs_table
from dataspoke.embedded.postgres import Postgres
from dataspoke.embedded.valkey import Valkey
from dataspoke.errors import DataSpokeError
from dataspoke.ports.runs import RunState
from dataspoke.ports.store import JobKind, JobState, NewJob
from dataspoke.quality.runs import scan_all_job
from dataspoke.settings import StoreSettings
from tests.support.waiting import lives
from tests.support.worker_process import ROW, Plan, WorkerProcess, faulty_urns, sound_urns

JOBS = 30
_DEADLINE_S = 45
SCHEDULED = {
    "scan": scan_all_job(),
    "audit": NewJob(JobKind.AUDIT_ALL, dedupe_key=JobKind.AUDIT_ALL),
}


@pytest.fixture(scope="module")
async def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Postgres, Valkey]]:
    # A commit that was answered survives an immediate shutdown; a power cut it need not.
    database = Postgres(tmp_path_factory.mktemp("postgres"), options={"fsync": "off"})
    queue = Valkey(tmp_path_factory.mktemp("valkey"))
    await migrate.upgrade(database.url)
    yield database, queue
    queue.stop()
    database.stop()


@pytest.fixture(scope="module")
async def engine(servers: tuple[Postgres, Valkey]) -> AsyncIterator[AsyncEngine]:
    made = create_engine(StoreSettings(url=servers[0].url))
    yield made
    await made.dispose()


class World:
    """An empty database and an empty Redis, jobs, and the workers that a test starts and kills."""

    def __init__(self, servers: tuple[Postgres, Valkey], engine: AsyncEngine, logs: Path) -> None:
        self.postgres, self.valkey = servers
        self.engine = engine
        self.store = PostgresStore(engine)
        self.jobs = PostgresJobs(engine)
        self.plan = Plan(self.postgres.url, self.valkey.url, datetime.now(UTC).isoformat())
        self.workers: list[WorkerProcess] = []
        self._logs = logs

    def start_worker(self) -> WorkerProcess:
        worker = WorkerProcess(self.plan, self._logs / f"worker-{len(self.workers)}.log")
        self.workers.append(worker)
        return worker

    async def add_jobs(self, count: int = JOBS, *, seconds: float = 0.2, fails: str = "") -> None:
        async with self.store.transaction() as tx:
            await tx.add_jobs(
                [
                    NewJob(ROW, {"name": f"{fails}{n}", "seconds": seconds, "fails": fails})
                    for n in range(count)
                ]
            )

    async def rows(self) -> Counter[str]:
        """How often each job has written its row."""
        written = select(audit_log.c.subjects[1]).where(audit_log.c.action == "wrote")
        async with self.engine.connect() as connection:
            return Counter((await connection.execute(written)).scalars())

    async def in_state(self, state: JobState, kind: JobKind = ROW) -> int:
        counted = (
            select(func.count())
            .select_from(jobs_table)
            .where(jobs_table.c.state == state, jobs_table.c.kind == kind)
        )
        async with self.engine.connect() as connection:
            return (await connection.execute(counted)).scalar_one()

    async def until(self, condition: Callable[[], Awaitable[bool]], waited_for: str) -> None:
        deadline = time.monotonic() + _DEADLINE_S
        while True:
            try:
                if await condition():
                    return
            except DataSpokeError:
                pass  # the database that this test has just killed
            if time.monotonic() > deadline:
                words = "\n".join(worker.logged[-3000:] for worker in self.workers)
                pytest.fail(f"waited {_DEADLINE_S} s for {waited_for}\n{words}")
            await asyncio.sleep(0.05)

    async def until_running(self, already_done: int = 0) -> None:
        """Wait until workers are in the midst of jobs, with some done and many to come."""

        async def in_the_midst() -> bool:
            return (
                await self.in_state(JobState.DONE) > already_done
                and await self.in_state(JobState.RUNNING) > 1
            )

        await self.until(in_the_midst, "jobs to run")

    async def until_idle(self, *kinds: JobKind) -> None:
        async def idle() -> bool:
            return await self.jobs.pending(kinds or (ROW,)) == 0

        await self.until(idle, "all jobs to end")

    async def assert_each_row_once(self) -> None:
        assert await self.rows() == {str(n): 1 for n in range(JOBS)}
        assert await self.in_state(JobState.DONE) == JOBS


@pytest.fixture
async def world(
    servers: tuple[Postgres, Valkey], engine: AsyncEngine, tmp_path: Path
) -> AsyncIterator[World]:
    async with engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    async with Redis.from_url(servers[1].url) as redis:
        await redis.flushall()
    made = World(servers, engine, tmp_path)
    yield made
    for worker in made.workers:
        worker.kill()


async def test_workers_killed_again_and_again(world: World) -> None:
    await world.add_jobs()
    for _ in range(3):
        done = await world.in_state(JobState.DONE)
        worker = world.start_worker()
        await world.until_running(already_done=done)
        worker.kill()
    world.start_worker()
    await world.until_idle()
    await world.assert_each_row_once()


async def test_a_worker_suspended_past_its_lease(world: World) -> None:
    await world.add_jobs()
    suspended = world.start_worker()
    await world.until_running()
    suspended.suspend()
    world.start_worker()
    await world.until_idle()
    suspended.resume()

    async def noticed() -> bool:
        return "lost its lease" in suspended.logged

    await world.until(noticed, "the suspended worker to notice that it is too late")
    await world.assert_each_row_once()


async def _wake_ups(world: World) -> int:
    async with Redis.from_url(world.valkey.url) as redis:
        return int(await redis.zcard("dataspoke:wake-ups"))


async def test_redis_forgets_everything(world: World) -> None:
    await world.add_jobs()
    world.start_worker()
    await world.until_running()
    assert await _wake_ups(world) > 0
    async with Redis.from_url(world.valkey.url) as redis:
        await redis.flushall()
    await world.until_idle()
    await world.assert_each_row_once()


async def test_redis_is_killed_and_comes_back_empty(world: World) -> None:
    await world.add_jobs()
    worker = world.start_worker()
    await world.until_running()
    assert await _wake_ups(world) > 0
    world.valkey.child.process.kill()
    world.valkey.child.process.wait()

    async def noticed() -> bool:
        return "interrupted" in worker.logged

    await world.until(noticed, "the worker to notice that Redis is down")
    world.valkey.start()
    await world.until_idle()
    await world.assert_each_row_once()
    outages = [line for line in worker.logged.splitlines() if "interrupted" in line]
    assert len(outages) <= 2, "one outage is logged once, by each of the two that depend on Redis"


async def test_a_crash_between_commit_and_wake_up(world: World) -> None:
    await world.add_jobs()
    # As a relay that dies when it has marked the jobs as woken, and has not woken anybody.
    assert len(await world.jobs.due(JOBS, timedelta(seconds=5))) == JOBS
    world.start_worker()
    await world.until_idle()
    await world.assert_each_row_once()


async def test_errors_at_the_first_try(world: World) -> None:
    await world.add_jobs(seconds=0.02, fails="once")
    world.start_worker()
    await world.until_idle()
    assert await world.rows() == {f"once{n}": 1 for n in range(JOBS)}


async def test_a_poison_job_is_given_up_and_holds_nobody_up(world: World) -> None:
    await world.add_jobs(1, seconds=0, fails="always")
    await world.add_jobs(seconds=0.02)
    world.start_worker()
    await world.until_idle()
    assert await world.rows() == {str(n): 1 for n in range(JOBS)}
    dead = select(jobs_table.c.attempt, jobs_table.c.error).where(
        jobs_table.c.state == JobState.DEAD
    )
    async with world.engine.connect() as connection:
        assert [tuple(row) for row in await connection.execute(dead)] == [
            (4, "ValueError('as it was told to')")
        ]


async def test_postgresql_is_restarted(world: World) -> None:
    await world.add_jobs()
    world.start_worker()
    await world.until_running()
    world.postgres.child.process.send_signal(signal.SIGQUIT)
    world.postgres.child.process.wait()
    world.postgres.start()
    await world.until_idle()
    await world.assert_each_row_once()


async def test_a_worker_that_is_asked_to_stop_gives_its_jobs_back(world: World) -> None:
    await world.add_jobs(4, seconds=120)
    worker = world.start_worker()

    async def all_running() -> bool:
        return await world.in_state(JobState.RUNNING) == 4

    await world.until(all_running, "the jobs to run")
    assert worker.stop() == 0
    assert await world.in_state(JobState.READY) == 4
    async with world.engine.connect() as connection:
        attempts = (await connection.execute(select(jobs_table.c.attempt))).scalars()
        assert set(attempts) == {0}, "a try that was cut short does not count"


async def test_schedulers_whose_clocks_differ_fill_each_slot_once(world: World) -> None:
    # A slot each second, so that half a minute of these would be lost or doubled.
    world.plan = replace(world.plan, scan_cron="* * * * * *")
    world.start_worker()
    world.plan = replace(world.plan, clock_ahead=timedelta(seconds=65))
    world.start_worker()

    async def some_slots() -> bool:
        counted = select(func.count()).select_from(schedule_slots)
        async with world.engine.connect() as connection:
            return (await connection.execute(counted)).scalar_one() >= 15

    await world.until(some_slots, "slots to be filled by both")
    for worker in world.workers:
        assert worker.stop() == 0
    for schedule in ("scan", "audit"):
        filled = (
            select(schedule_slots.c.slot)
            .where(schedule_slots.c.schedule_id == schedule)
            .order_by(schedule_slots.c.slot)
        )
        added = select(func.count()).where(
            jobs_table.c.dedupe_key == SCHEDULED[schedule].dedupe_key
        )
        async with world.engine.connect() as connection:
            slots = (await connection.execute(filled)).scalars().all()
            jobs = (await connection.execute(added)).scalar_one()
        # A job that still waits when the next slot comes stands for both.
        assert len(slots) >= jobs > 0
        assert len(slots) > 4
        assert datetime.now(UTC) - slots[0] < timedelta(seconds=_DEADLINE_S)
        assert slots[-1] <= datetime.now(UTC), "no slot is of the clock that is ahead"


def _processes_below(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _processes_below(int(child))


@pytest.mark.parametrize("scanned_before_the_kill", [0, 4, 12])
async def test_a_scan_killed_in_its_midst_completes(
    world: World, scanned_before_the_kill: int
) -> None:
    world.plan = replace(world.plan, scans=True)
    async with world.store.transaction() as tx:
        await tx.add_jobs([scan_all_job()])
    worker = world.start_worker()

    async def in_the_midst() -> bool:
        runs = await world.store.newest_runs(None, 1)
        return (
            bool(runs)
            and runs[0].done >= scanned_before_the_kill
            and await world.in_state(JobState.RUNNING, JobKind.SCAN_DATASETS) > 0
        )

    await world.until(in_the_midst, "the scan to be in its midst")
    below = list(_processes_below(worker.pid))
    worker.kill()
    urns = faulty_urns() + sound_urns()
    (halted,) = await world.store.newest_runs(None, 2)
    assert halted.done < halted.total == len(urns)
    judged = await world.store.quality_of(urns)
    assert len(judged) == halted.done

    async def alone() -> bool:
        return not any(map(lives, below))

    await world.until(alone, "the killed worker's processes to end")
    world.start_worker()
    await world.until_idle(JobKind.SCAN_ALL, JobKind.SCAN_DATASETS, JobKind.WRITE_BACK_QUALITY)
    (ended,) = await world.store.newest_runs(None, 2)
    assert (ended.id, ended.state) == (halted.id, RunState.DONE)
    assert (ended.done, ended.failed) == (len(urns), 0)
    verdicts = await world.store.quality_of(urns)
    assert set(verdicts) == set(urns)
    assert {urn: verdicts[urn] for urn in judged} == judged, "what was judged is not judged again"
    async with world.engine.connect() as connection:
        raised = (await connection.execute(select(alerts.c.urn))).scalars().all()
        changed = (await connection.execute(select(alert_changes.c.alert_id))).scalars().all()
    assert sorted(raised) == sorted(faulty_urns())
    assert len(changed) == len(set(changed)) == len(raised)
