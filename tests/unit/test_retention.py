from datetime import timedelta

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.jobs import MemoryJobs
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.ports.runs import ALL, RunKind
from dataspoke.ports.store import JobKind, JobState, NewJob
from dataspoke.quality.model import Check, Judgement, Metric, Point, Result, Status
from dataspoke.quality.scoring import summarise
from dataspoke.retention import RetentionService
from dataspoke.settings import RetentionSettings

ROWS = Check(Metric.ROW_COUNT)
DAY = timedelta(days=1)


async def test_each_thing_is_kept_for_its_own_time() -> None:
    clock = MemoryClock()
    store = MemoryStore(clock)
    jobs = MemoryJobs(store)
    retention = RetentionService(store, RetentionSettings(results_days=10, runs_days=5))
    for _ in range(12):
        result = Result(
            "a", ROWS, Judgement(Point(clock.now(), 1.0), Status.PASS, "band"), clock.now()
        )
        async with store.transaction() as tx:
            await tx.save_results([result])
            await tx.save_quality([summarise("a", [result], clock.now(), {})])
            run = await tx.begin_run(RunKind.SCHEDULED, ALL, None)
            await tx.fill_run(run.id, [])
            await tx.add_jobs([NewJob(JobKind.DELETE_OLD, dedupe_key="once")])
        (woken,) = await jobs.due(1, DAY)
        job = await jobs.claim(woken.job_id, DAY)
        assert job is not None
        await retention.delete_old(job.lease)
        clock.advance(DAY)
    assert len((await store.results_for(["a"], 100))["a"]) == 11
    assert len(await store.newest_runs(None, 100)) == 6
    assert (await jobs.counts()).by_state[JobState.DONE] == 8
