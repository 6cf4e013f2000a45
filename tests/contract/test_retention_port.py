"""What any store deletes and what it keeps: in memory and PostgreSQL, by the same tests.

Everything is older than minus a day, and what is dated into the past is as old as it says.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from dataspoke.health.model import HealthScore
from dataspoke.ports.runs import ALL, RunKind
from dataspoke.ports.store import AlertQuery, JobKind, Jobs, JobState, NewJob, Store
from dataspoke.quality.model import (
    Alert,
    AlertState,
    Check,
    Judgement,
    Metric,
    Point,
    Result,
    Status,
)

LONG = timedelta(days=400)
DAY = timedelta(days=1)
ANY_AGE = -DAY
ROWS, FRESH = Check(Metric.ROW_COUNT), Check(Metric.FRESHNESS)
# Far enough from either end of what the clocks of the adapters say.
OLD, NEW = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def result(urn: str, check: Check, time: datetime) -> Result:
    return Result(urn, check, Judgement(Point(time, 1.0), Status.PASS, "band"), time)


async def history(store: Store, urn: str, check: Check) -> list[Result]:
    return list(await store.history(urn, check, OLD, NEW, 10))


def alert(ended_at: datetime | None, cause: UUID | None = None) -> Alert:
    return Alert(
        id=(key := uuid4()),
        urn="a",
        check=ROWS,
        state=AlertState.OPEN if ended_at is None else AlertState.RESOLVED,
        dedupe_key=str(key),
        opened_at=OLD,
        observed_at=OLD,
        value=1.0,
        message="too few rows",
        ended_at=ended_at,
        cause=cause,
    )


async def test_results_go_but_the_newest_of_each_check(store: Store) -> None:
    old = [result("a", ROWS, OLD + n * DAY) for n in range(5)]
    alone = result("a", FRESH, OLD)
    kept = result("b", ROWS, OLD), result("b", ROWS, NEW)
    async with store.transaction() as tx:
        await tx.save_results([*old, alone, *kept])
    assert await store.delete_results(["a"], LONG, 3) == 3
    assert await store.delete_results(["a"], LONG, 3) == 1
    assert await store.delete_results(["a"], LONG, 3) == 0
    assert await history(store, "a", ROWS) == [old[-1]]
    assert await history(store, "a", FRESH) == [alone]
    assert await store.last_point_times(["a"]) == {"a": {ROWS: OLD + 4 * DAY, FRESH: OLD}}
    assert await history(store, "b", ROWS) == list(kept)
    assert await store.delete_results(["b"], LONG, 10) == 1
    assert await history(store, "b", ROWS) == [kept[1]]


async def test_the_latest_health_stays(store: Store) -> None:
    scores = [HealthScore("a", float(n), (), OLD + n * DAY) for n in range(3)]
    for score in scores:
        async with store.transaction() as tx:
            await tx.save_health([score])
    assert await store.delete_health_scores(["b"], LONG, 10) == 0
    assert await store.delete_health_scores(["a"], LONG, 10) == 3
    assert await store.health_of(["a"]) == {"a": scores[-1]}


async def test_alerts_go_once_they_have_ended(store: Store) -> None:
    active, ended, cause = alert(None), alert(OLD), alert(OLD)
    recent, victim = alert(NEW), alert(None, cause.id)
    async with store.transaction() as tx:
        await tx.save_alerts([active, ended, cause, recent, victim])
    assert await store.delete_alerts(LONG, 10) == 1
    left = {found.id for found in await store.alerts(AlertQuery())}
    assert left == {active.id, cause.id, recent.id, victim.id}
    assert {c.alert.id for c in await store.alert_changes(0, None, 10)} == left


async def test_runs_go_with_what_was_left_of_them(store: Store) -> None:
    async with store.transaction() as tx:
        cancelled = await tx.begin_run(RunKind.REQUESTED, ALL, None)
        await tx.fill_run(cancelled.id, ["a"])
        await tx.cancel_run(cancelled.id)
        running = await tx.begin_run(RunKind.REQUESTED, ALL, None)
    assert await store.delete_runs(LONG, 10) == 0
    assert await store.delete_runs(ANY_AGE, 10) == 1
    assert set(await store.runs([cancelled.id, running.id])) == {running.id}


async def test_jobs_go_once_they_are_done(store: Store, jobs: Jobs) -> None:
    async with store.transaction() as tx:
        await tx.add_jobs([NewJob(JobKind.REINDEX) for _ in range(4)])
    first, second, dead, _ = await jobs.due(4, DAY)
    for woken in (first, second):
        job = await jobs.claim(woken.job_id, DAY)
        assert job is not None
        await jobs.finish(job.lease)
    job = await jobs.claim(dead.job_id, DAY)
    assert job is not None
    await jobs.fail(job.lease, "broken", None)
    assert await store.delete_jobs(LONG, 10) == 0
    assert await store.delete_jobs(ANY_AGE, 1) == 1
    assert await store.delete_jobs(ANY_AGE, 10) == 1
    assert {s: n for s, n in (await jobs.counts()).by_state.items() if n} == {
        JobState.DEAD: 1,
        JobState.READY: 1,
    }


async def test_the_newest_slot_stays(store: Store, jobs: Jobs) -> None:
    job = NewJob(JobKind.REINDEX)
    for n in range(4):
        assert await jobs.fill_slot("scan", lambda now, n=n: OLD + n * DAY, job)  # type: ignore[misc]
    assert await jobs.fill_slot("audit", lambda now: OLD, job)
    assert await store.delete_slots(LONG, 10) == 3
    assert not await jobs.fill_slot("scan", lambda now: OLD + 3 * DAY, job)
    assert not await jobs.fill_slot("audit", lambda now: OLD, job)


async def test_rejected_events_go(store: Store) -> None:
    async with store.transaction() as tx:
        for _ in range(3):
            await tx.reject_event("stream", "{", "no JSON")
    assert await store.delete_rejected_events(LONG, 10) == 0
    assert await store.delete_rejected_events(ANY_AGE, 2) == 2
    assert await store.delete_rejected_events(ANY_AGE, 2) == 1
