"""What any Store does: the one in memory and the one on PostgreSQL, by the same tests."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.errors import (
    ConfigurationError,
    Conflict,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
    LeaseLost,
)
from dataspoke.health.model import Finding, HealthScore
from dataspoke.ports.store import (
    AlertQuery,
    JobKind,
    Jobs,
    JobState,
    Lease,
    NewJob,
    Store,
)
from dataspoke.quality.model import (
    Alert,
    AlertState,
    Check,
    DatasetQuality,
    Dimension,
    DimensionQuality,
    Feedback,
    FeedbackKind,
    Judgement,
    Metric,
    MonitorSettings,
    Point,
    Result,
    Severity,
    Status,
    Window,
)
from dataspoke.settings import StoreSettings

ROWS, FRESHNESS = Check(Metric.ROW_COUNT), Check(Metric.FRESHNESS)
VOLUME = DimensionQuality(Dimension.VOLUME, Status.PASS, 100.0)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def result(urn: str, check: Check, hour: int, value: float = 100.0) -> Result:
    point = Point(NOON + hour * HOUR, value)
    judged = Judgement(point, Status.PASS, "band", expected=99.5, low=90.1, high=109.9, score=0.25)
    return Result(urn, check, judged, NOON + timedelta(days=1), Dimension.VOLUME)


def alert(urn: str = "a", hour: int = 0, **changes: object) -> Alert:
    opened = Alert(
        id=uuid4(),
        urn=urn,
        check=ROWS,
        state=AlertState.OPEN,
        dedupe_key=f"{urn}/{hour}",
        opened_at=NOON + hour * HOUR,
        observed_at=NOON + hour * HOUR,
        value=10.0,
        expected=100.0,
        low=90.0,
        high=110.0,
        score=1.0,
        message="10 rows where 90 to 110 are usual",
    )
    return replace(opened, **changes)  # type: ignore[arg-type]


def verdict(urn: str, at: datetime = NOON) -> DatasetQuality:
    newest = (result(urn, ROWS, 1), result(urn, FRESHNESS, 2))
    return DatasetQuality(urn, Status.PASS, 100.0, (VOLUME,), newest, at)


def score(urn: str, value: float, at: datetime = NOON) -> HealthScore:
    findings = (Finding("owner", 0.2, 0.0, "Name an owner."), Finding("tags", 0.1, 1.0, None))
    return HealthScore(urn, value, findings, at)


async def save(store: Store, *alerts: Alert) -> list[Alert]:
    """Save alerts and return those that took effect, in the order they were given."""
    async with store.transaction() as tx:
        saved = {change.alert.id: change.alert for change in await tx.save_alerts(alerts)}
    return [saved[alert.id] for alert in alerts if alert.id in saved]


async def running(store: Store, jobs: Jobs) -> Lease:
    async with store.transaction() as tx:
        await tx.add_jobs([NewJob(JobKind.SCAN_DATASETS, {"urns": ["a"]})])
    (woken,) = await jobs.due(10, timedelta(0))
    job = await jobs.claim(woken.job_id, timedelta(minutes=1))
    assert job is not None
    return job.lease


async def test_values_come_back_as_they_were_saved(store: Store) -> None:
    results = [result("a", ROWS, hour, hour / 3) for hour in range(4)]
    warming = Judgement(Point(NOON, 5.0), Status.WARMING_UP, "band")
    results.append(Result("b", FRESHNESS, warming, NOON))
    async with store.transaction() as tx:
        await tx.save_results(results)
        await tx.save_quality([verdict("a"), verdict("b")])
        await tx.save_health([score("a", 12.3)])
        await tx.save_alerts([raised := alert()])
    assert await store.quality_of(["a", "b", "c"]) == {"a": verdict("a"), "b": verdict("b")}
    assert await store.health_of(["c", "a"]) == {"a": score("a", 12.3)}
    assert await store.results_for(["a", "b", "c"], 3) == {
        "a": results[3:0:-1],
        "b": results[4:],
    }
    assert await store.last_point_times(["a", "c"]) == {"a": {ROWS: NOON + 3 * HOUR}}
    assert await store.alert(raised.id) == replace(raised, version=1)
    assert await store.alert(uuid4()) is None
    assert await store.known_datasets() == {"a", "b"}


async def test_results_are_limited_for_each_check_of_the_verdict(store: Store) -> None:
    async with store.transaction() as tx:
        for check in (ROWS, FRESHNESS, Check(rule=UUID(int=5))):
            await tx.save_results([result("a", check, hour) for hour in range(5)])
        await tx.save_quality([verdict("a")])
    found = (await store.results_for(["a"], 2))["a"]
    assert {(r.check, r.judgement.point.time) for r in found} == {
        (check, NOON + hour * HOUR) for check in (ROWS, FRESHNESS) for hour in (3, 4)
    }
    times = [r.judgement.point.time for r in found]
    assert times == sorted(times, reverse=True)


async def test_a_judged_point_keeps_its_first_result(store: Store) -> None:
    first = result("a", ROWS, 0, 1.0)
    async with store.transaction() as tx:
        await tx.save_results([first])
        await tx.save_results([result("a", ROWS, 0, 2.0)])
        await tx.save_quality([verdict("a")])
    assert await store.results_for(["a"], 5) == {"a": [first]}


async def test_an_older_verdict_does_not_replace_a_newer_one(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.save_quality([verdict("a", NOON + HOUR)])
        await tx.save_health([score("a", 50.0, NOON + HOUR)])
    async with store.transaction() as tx:
        await tx.save_quality([verdict("a", NOON)])
        await tx.save_health([score("a", 10.0, NOON)])
    assert (await store.quality_of(["a"]))["a"].scanned_at == NOON + HOUR
    assert (await store.health_of(["a"]))["a"].value == 50.0


async def test_nothing_is_kept_of_a_transaction_that_fails(store: Store, jobs: Jobs) -> None:
    async def fail_at_the_end() -> None:
        async with store.transaction() as tx:
            await tx.save_quality([verdict("a")])
            await tx.save_alerts([alert()])
            await tx.add_jobs([NewJob(JobKind.REINDEX)])
            await tx.request_index(["a"])
            await tx.save_cursor("events", "1", None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_at_the_end()
    assert await store.known_datasets() == frozenset()
    assert await store.alerts(AlertQuery()) == []
    assert await store.last_alert_cursor() == 0
    assert await store.index_requests(5) == []
    assert await store.cursor("events") is None
    assert await jobs.due(5, timedelta(0)) == []


async def test_what_is_not_committed_is_not_seen(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.save_quality([verdict("a")])
        assert await store.quality_of(["a"]) == {}
    assert "a" in await store.quality_of(["a"])


async def test_an_alert_is_changed_from_its_newest_version_only(store: Store) -> None:
    (opened,) = await save(store, alert())
    assert opened.version == 1
    someone = "urn:li:corpuser:editor"
    acknowledged = replace(
        opened, state=AlertState.ACKNOWLEDGED, acknowledged_by=someone, acknowledged_at=NOON
    )
    (taken,) = await save(store, acknowledged)
    # As a scan resolves it that read it before it was acknowledged.
    assert await save(store, replace(opened, state=AlertState.RESOLVED)) == []
    assert await save(store, replace(opened, version=0)) == []
    snoozed = replace(taken, state=AlertState.SNOOZED, snoozed_until=NOON + HOUR, cause=uuid4())
    (put_off,) = await save(store, snoozed)
    closed = replace(
        put_off,
        state=AlertState.CLOSED,
        closed_by=someone,
        ended_at=NOON + HOUR,
        feedback=FeedbackKind.EXPECTED_CHANGE,
        reopened=1,
        reopened_at=NOON,
    )
    (ended,) = await save(store, closed)
    assert await store.alert(opened.id) == ended == replace(closed, version=4)
    changes = await store.alert_changes(0, None, 10)
    assert [change.alert for change in changes] == [opened, taken, put_off, ended]
    cursors = [change.cursor for change in changes]
    assert cursors == sorted(set(cursors))
    assert await store.last_alert_cursor() == cursors[-1]
    assert await store.alert_changes(cursors[0], None, 1) == changes[1:2]


async def test_one_of_two_changes_at_the_same_time_takes_effect(store: Store) -> None:
    (opened,) = await save(store, alert())
    both = [replace(opened, state=state) for state in (AlertState.CLOSED, AlertState.RESOLVED)]
    done = await asyncio.gather(*(save(store, change) for change in both))
    assert sorted(len(changes) for changes in done) == [0, 1]


async def test_the_same_incident_is_not_raised_twice(store: Store) -> None:
    first, again = alert("a", 1), alert("a", 1)
    assert [a.id for a in await save(store, first)] == [first.id]
    (other,) = await save(store, again, alert("a", 2, id=UUID(int=7)))
    assert other.id == UUID(int=7)
    assert await store.alert(again.id) is None


async def test_an_alert_of_a_rule_may_lack_numbers(store: Store) -> None:
    bare = alert(
        check=Check(rule=UUID(int=5)),
        severity=Severity.WARN,
        expected=None,
        low=None,
        high=None,
        score=None,
    )
    (saved,) = await save(store, bare)
    assert await store.alert(bare.id) == saved == replace(bare, version=1)


async def test_the_newest_alert_of_each_check_is_found_in_any_state(store: Store) -> None:
    older = alert("a", 1, state=AlertState.RESOLVED)
    newer = alert("a", 2, state=AlertState.CLOSED)
    late = alert("a", 1, check=FRESHNESS, dedupe_key="late")
    saved = {a.id: a for a in await save(store, older, newer, late, alert("b"))}
    assert await store.latest_alerts(["a", "c"]) == {
        "a": {ROWS: saved[newer.id], FRESHNESS: saved[late.id]}
    }


async def test_active_alerts_are_found_by_what_explains_them(store: Store) -> None:
    cause, ended = uuid4(), AlertState.RESOLVED
    rows = await save(
        store, alert("a", cause=cause), alert("b", cause=cause, state=ended), alert("c")
    )
    assert await store.alerts_explained_by([cause, uuid4()]) == [a for a in rows if a.urn == "a"]
    assert await store.alerts_explained_by([]) == []


async def test_feedback_is_kept_for_each_point_and_may_be_changed(store: Store) -> None:
    first = Feedback("a", ROWS, NOON + HOUR, FeedbackKind.REAL, "urn:li:corpuser:x", NOON)
    other = replace(first, point_time=NOON, kind=FeedbackKind.EXPECTED_CHANGE)
    changed = replace(first, kind=FeedbackKind.FALSE_POSITIVE, by="urn:li:corpuser:y")
    async with store.transaction() as tx:
        await tx.save_feedback([first, other])
        await tx.save_feedback([changed])
        await tx.save_feedback([])
    assert await store.feedback_on(["a", "b"]) == {"a": [other, changed]}


async def test_settings_of_a_monitor_are_changed_from_the_newest_only(store: Store) -> None:
    wanted = MonitorSettings(
        "a", False, 0.5, "DE", (Window(NOON, NOON + HOUR),), muted_until=NOON + HOUR
    )
    async with store.transaction() as tx:
        await tx.save_monitor(wanted)
    saved = replace(wanted, version=1)
    assert await store.monitors_of(["a", "b"]) == {"a": saved}
    for stale in (wanted, replace(wanted, version=2)):
        with pytest.raises(Conflict, match="a have been changed"):
            async with store.transaction() as tx:
                await tx.save_monitor(stale)
    async with store.transaction() as tx:
        await tx.save_monitor(replace(saved, enabled=True))
    assert (await store.monitors_of(["a"]))["a"] == replace(saved, enabled=True, version=2)


async def test_the_history_of_a_check_is_read_by_time(store: Store) -> None:
    results = [result("a", ROWS, hour) for hour in range(6)]
    others = [result("a", FRESHNESS, 2), result("b", ROWS, 2)]
    async with store.transaction() as tx:
        await tx.save_results([*reversed(results), *others])
    found = await store.history("a", ROWS, NOON + HOUR, NOON + 4 * HOUR, 3)
    assert found == results[2:5]
    assert await store.history("c", ROWS, NOON, NOON + HOUR, 5) == []


async def test_alerts_are_paged_newest_first_even_at_the_same_time(store: Store) -> None:
    same_time = [alert(f"u{n}", opened_at=NOON) for n in range(4)]
    await save(store, *same_time, alert("later", 5), alert("earlier", -5))
    everything = await store.alerts(AlertQuery())
    assert [a.urn for a in (everything[0], everything[-1])] == ["later", "earlier"]
    pages: list[Alert] = []
    place = None
    while page := await store.alerts(AlertQuery(before=place, limit=2)):
        pages += page
        place = (page[-1].opened_at, page[-1].id)
    assert pages == list(everything)
    assert len({a.id for a in pages}) == 6


async def test_alerts_are_found_by_dataset_and_state(store: Store) -> None:
    gone = alert("a", 1, state=AlertState.RESOLVED, ended_at=NOON)
    here, seen, other = alert("a", 2), alert("a", 3, state=AlertState.ACKNOWLEDGED), alert("b")
    gone, here, seen, other = await save(store, gone, here, seen, other)
    assert await store.active_alerts(["a", "c"]) == {"a": [seen, here]}
    assert await store.active_alerts(None) == {"a": [seen, here], "b": [other]}
    wanted = AlertQuery(urns=("a",), states=(AlertState.OPEN, AlertState.RESOLVED))
    assert await store.alerts(wanted) == [here, gone]
    assert await store.alerts(AlertQuery(urns=())) == []
    assert [c.alert for c in await store.alert_changes(0, ["b"], 9)] == [other]


@pytest.mark.parametrize("ascending", [True, False])
async def test_the_ranking_is_paged_by_value_and_urn(store: Store, ascending: bool) -> None:
    # Code points, not a language's alphabet.
    values = {"b": 50.0, "B": 50.0, "ä": 50.0, "z": 0.1, "c": 99.9}
    async with store.transaction() as tx:
        await tx.save_health([score(urn, value) for urn, value in values.items()])
    expected = sorted(values, key=lambda urn: (values[urn], urn), reverse=not ascending)
    found: list[str] = []
    place = None
    while page := await store.health_ranking(ascending, place, 2):
        found += [row.urn for row in page]
        place = (page[-1].value, page[-1].urn)
    assert found == expected


async def test_a_request_renewed_while_it_is_served_stays(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.request_index(["a", "b", "a"])
    taken = await store.index_requests(5)
    assert {request.urn for request in taken} == {"a", "b"}
    async with store.transaction() as tx:
        await tx.request_index(["a"])
    async with store.transaction() as tx:
        await tx.finish_index(taken)
    (renewed,) = await store.index_requests(5)
    assert renewed.urn == "a"
    assert renewed.version > max(request.version for request in taken)


async def test_a_request_made_anew_is_above_the_one_that_was_served(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.request_index(["a"])
    (old,) = await store.index_requests(5)
    async with store.transaction() as tx:
        await tx.finish_index([old])
    async with store.transaction() as tx:
        await tx.request_index(["a"])
    async with store.transaction() as tx:
        await tx.finish_index([old])  # a slow second worker
    assert [request.urn for request in await store.index_requests(5)] == ["a"]


async def test_it_is_told_which_requests_somebody_else_has_finished(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.request_index(["a", "b"])
    slow = await store.index_requests(5)
    async with store.transaction() as tx:
        await tx.request_index(["a"])
    async with store.transaction() as tx:
        assert await tx.finish_index(await store.index_requests(1)) == []
        await tx.request_index(["b"])
    async with store.transaction() as tx:
        assert await tx.finish_index(slow) == ["a"]
    assert [request.urn for request in await store.index_requests(5)] == ["b"]


async def test_requests_of_a_backfill_are_kept_apart(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.request_index(["a", "b", "c"], background=True)
        await tx.request_index(["b", "d"])
        await tx.request_index(["b"], background=True)
    assert [request.urn for request in await store.index_requests(5)] == ["b", "d"]
    waiting = await store.index_requests(5, background=True)
    assert [(request.urn, request.background) for request in waiting] == [("a", True), ("c", True)]
    assert await store.waiting_index_requests() == 4
    async with store.transaction() as tx:
        await tx.finish_index(waiting)
    assert await store.waiting_index_requests() == 2


async def test_a_renewed_request_keeps_its_place(store: Store) -> None:
    for urn in ("b", "a", "b"):
        async with store.transaction() as tx:
            await tx.request_index([urn])
    assert [request.urn for request in await store.index_requests(1)] == ["b"]


async def test_a_cursor_is_moved_by_one_consumer_only(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.save_cursor("events", "1", None)
    async with store.transaction() as tx:
        await tx.save_cursor("events", "2", "1")

    async def move_late(previous: str | None) -> None:
        async with store.transaction() as tx:
            await tx.request_index(["a"])
            await tx.save_cursor("events", "late", previous)

    for previous in (None, "1"):
        with pytest.raises(Conflict, match="events"):
            await move_late(previous)
    assert await store.cursor("events") == "2"
    assert await store.index_requests(5) == []


async def test_what_left_the_hub_is_forgotten_wholly(store: Store) -> None:
    async with store.transaction() as tx:
        for urn in ("a", "b"):
            await tx.save_results([result(urn, ROWS, 0)])
            await tx.save_quality([verdict(urn)])
            await tx.save_health([score(urn, 5.0)])
            await tx.save_alerts([alert(urn)])
            said = Feedback(urn, ROWS, NOON, FeedbackKind.REAL, "urn:li:corpuser:x", NOON)
            await tx.save_feedback([said])
            await tx.save_monitor(MonitorSettings(urn))
    async with store.transaction() as tx:
        await tx.forget(["a", "unknown"])
    assert await store.known_datasets() == {"b"}
    assert set(await store.results_for(["a", "b"], 1)) == {"b"}
    assert {a.urn for a in await store.alerts(AlertQuery())} == {"b"}
    assert {c.alert.urn for c in await store.alert_changes(0, None, 9)} == {"b"}
    assert set(await store.feedback_on(["a", "b"])) == {"b"}
    assert set(await store.monitors_of(["a", "b"])) == {"b"}


async def test_nothing_to_save_is_no_error(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.add_jobs([])
        await tx.save_results([])
        await tx.save_quality([])
        await tx.save_health([])
        await tx.request_index([])
        await tx.finish_index([])
        await tx.forget([])
        assert await tx.save_alerts([]) == []
    assert await store.results_for([], 5) == {}
    assert await store.active_alerts([]) == {}


async def test_effects_and_the_end_of_the_job_are_one(store: Store, jobs: Jobs) -> None:
    lease = await running(store, jobs)
    async with store.transaction(lease) as tx:
        await tx.save_quality([verdict("a")])
        await tx.add_jobs([NewJob(JobKind.WRITE_BACK_QUALITY, {"urn": "a"})])
    by_state = (await jobs.counts()).by_state
    assert (by_state[JobState.DONE], by_state[JobState.READY]) == (1, 1)
    assert not await jobs.finish(lease)


async def test_a_job_that_is_done_takes_no_second_set_of_effects(store: Store, jobs: Jobs) -> None:
    lease = await running(store, jobs)
    async with store.transaction(lease):
        pass
    with pytest.raises(LeaseLost):
        async with store.transaction(lease) as tx:
            await tx.save_alerts([alert()])
    assert await store.alerts(AlertQuery()) == []


async def test_an_old_token_saves_nothing(store: Store, jobs: Jobs) -> None:
    old = await running(store, jobs)
    await jobs.release(old)
    new = await jobs.claim(old.job_id, timedelta(minutes=1))
    assert new is not None
    with pytest.raises(LeaseLost):
        async with store.transaction(old) as tx:
            await tx.save_alerts([alert()])
    assert await store.alerts(AlertQuery()) == []
    assert await jobs.finish(new.lease)


async def test_audit_and_rejected_events_take_any_text(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.audit("urn:li:corpuser:editor", "acknowledge", ["1", "2"])
        await tx.reject_event("events", "urn\0with NUL", "refused \0")


async def test_the_store_answers_a_ping(store: Store) -> None:
    await store.ping()


# What only a real server does.


async def test_reads_take_one_statement_for_any_number_of_datasets(engine: AsyncEngine) -> None:
    store, statements = PostgresStore(engine), []

    def count(*arguments: object) -> None:
        statements.append(arguments[2])

    urns = [f"u{n}" for n in range(50)]
    event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        await store.quality_of(urns)
        await store.results_for(urns, 30)
        await store.active_alerts(urns)
        await store.health_of(urns)
        await store.alert_changes(0, urns, 10)
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", count)
    assert len(statements) == 5
    assert len(set(statements)) == 5


async def test_cursors_rise_in_commit_order(engine: AsyncEngine) -> None:
    """A reader that has seen cursor n never misses one below it that commits later."""
    store = PostgresStore(engine)
    start = await store.last_alert_cursor()
    seen: list[int] = []

    async def write(number: int) -> None:
        async with store.transaction() as tx:
            await tx.save_alerts([alert(f"writer{number}")])
            await asyncio.sleep(0.002 * (number % 3))

    async def read() -> None:
        last = start
        while len(seen) < 8:
            seen.extend(change.cursor for change in await store.alert_changes(last, None, 100))
            last = max(seen, default=start)

    async with asyncio.timeout(20):
        await asyncio.gather(read(), *(write(number) for number in range(8)))
    assert seen == sorted(set(seen))


async def test_a_slow_statement_is_a_timeout(database_url: str) -> None:
    engine = create_engine(StoreSettings(url=database_url, statement_timeout_s=0.1))
    blocker = create_engine(StoreSettings(url=database_url))
    async with blocker.begin() as connection:
        await connection.execute(text("LOCK TABLE quality_verdicts"))
        with pytest.raises(DependencyTimeout) as caught:
            await PostgresStore(engine).quality_of(["a"])
    assert caught.value.port == "store"
    await engine.dispose()
    await blocker.dispose()


async def test_a_suspended_transaction_loses_its_locks(database_url: str) -> None:
    engine = create_engine(StoreSettings(url=database_url, statement_timeout_s=0.2))
    store = PostgresStore(engine)
    lost = alert("suspended")

    async def suspend() -> None:
        async with store.transaction() as tx:
            await tx.save_alerts([lost])
            await asyncio.sleep(0.5)

    with pytest.raises((DependencyTimeout, DependencyUnavailable)):
        await suspend()
    assert await store.alert(lost.id) is None
    await engine.dispose()


async def test_a_server_that_is_down_is_unavailable() -> None:
    engine = create_engine(StoreSettings(url="postgresql+asyncpg://nobody@127.0.0.1:9/none"))
    store = PostgresStore(engine)
    with pytest.raises(DependencyUnavailable):
        await store.ping()
    with pytest.raises(DependencyUnavailable):
        async with store.transaction():
            pass


async def test_connections_that_the_server_ended_are_replaced(database_url: str) -> None:
    engine = create_engine(StoreSettings(url=database_url))
    store = PostgresStore(engine)
    await store.ping()
    ended = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    other = create_engine(StoreSettings(url=database_url))
    async with other.begin() as connection:
        await connection.execute(ended)
    await store.ping()
    await engine.dispose()
    await other.dispose()


async def test_what_postgresql_refuses_is_rejected(engine: AsyncEngine) -> None:
    with pytest.raises(DependencyRejected):
        async with PostgresStore(engine).transaction() as tx:
            await tx.request_index(["urn\0with NUL"])


async def test_a_wrong_password_names_the_setting(database_url: str) -> None:
    wrong = database_url.split("@")[1]
    engine = create_engine(StoreSettings(url=f"postgresql+asyncpg://nobody:no@{wrong}"))
    with pytest.raises(ConfigurationError, match="DATASPOKE_STORE__URL"):
        await PostgresStore(engine).ping()
