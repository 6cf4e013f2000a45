"""Scans, verdicts and alerts, for every kind of caller."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.compute import InlineCompute
from dataspoke.adapters.memory.feed import MemoryFeed
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.jobs import MemoryJobs
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.catalogue import Dataset, Operation, Profile
from dataspoke.errors import (
    Conflict,
    DependencyUnavailable,
    Forbidden,
    InvalidInput,
    LeaseLost,
    NotFound,
    Unauthenticated,
)
from dataspoke.ports.hub import Access, Actor
from dataspoke.ports.notifier import Channels
from dataspoke.ports.store import JobKind, Lease
from dataspoke.quality.alerting import AlertService
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    AlertState,
    Check,
    FeedbackKind,
    Metric,
    MonitorSettings,
    Status,
)
from dataspoke.quality.monitoring import MonitorService
from dataspoke.quality.notifications.service import NotificationService
from tests.support.quality import quality_service

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
DAY = timedelta(days=1)
# Past the warm-up of 28 points; below 60, so that no test pays for a fit of Prophet.
DAYS = 50
ROWS, FRESHNESS = Check(Metric.ROW_COUNT), Check(Metric.FRESHNESS)
LATE = Check(Metric.LATE_ARRIVAL)


def urn(name: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,shop.{name},PROD)"


def dataset(name: str, *, removed: bool = False) -> Dataset:
    return Dataset(urn(name), f"shop.{name}", "urn:li:dataPlatform:postgres", removed=removed)


def profiles(end: datetime = NOW, days: int = DAYS) -> list[Profile]:
    """A healthy table's profiles, one a day, the last half an hour before ``end``."""
    rows = np.random.default_rng(7).normal(4000, 80, days)
    first = end - timedelta(minutes=30) - (days - 1) * DAY
    return [Profile(first + day * DAY, round(count)) for day, count in enumerate(rows)]


def operations(end: datetime = NOW, days: int = DAYS) -> list[Operation]:
    """A healthy table's loads, one a day, the last five hours before ``end``."""
    first = end - timedelta(hours=5) - (days - 1) * DAY
    return [Operation(first + day * DAY, "INSERT") for day in range(days)]


class House:
    """The service on a hub, a store and a feed in memory."""

    def __init__(self, store: type[MemoryStore] = MemoryStore) -> None:
        self.clock = MemoryClock(NOW)
        self.hub = MemoryHub()
        self.store = store(self.clock)
        self.jobs = MemoryJobs(self.store)
        feed = MemoryFeed(timedelta(days=1))
        self.quality = quality_service(
            self.hub,
            self.store,
            feed,
            InlineCompute(),
            self.clock,
        )
        notifications = NotificationService(self.hub, self.store, self.clock, Channels())
        self.alerts = AlertService(self.hub, self.store, feed, self.clock, notifications)
        self.monitors = MonitorService(self.hub, self.store)
        self.service = self.hub.admit("service", "urn:li:corpuser:dataspoke", can_manage=True)

    def show(self, name: str, *later: int) -> str:
        """Put a healthy history into the hub, then a day with each of these row counts.

        Moves the clock on to the last of them and returns the urn.
        """
        end = NOW + len(later) * DAY
        if self.clock.now() < end:
            self.clock.advance(end - self.clock.now())
        counts = [
            Profile(NOW - timedelta(minutes=30) + day * DAY, rows)
            for day, rows in enumerate(later, 1)
        ]
        self.hub.put(
            dataset(name),
            profiles=[*profiles(), *counts],
            operations=operations(end, DAYS + len(later)),
        )
        return urn(name)

    async def alert(self, name: str) -> Alert:
        """Return the alert of a dataset that a tenth of its rows are left of."""
        found = self.show(name, 400)
        await self.quality.scan(None, [found])
        (alert,) = (await self.store.active_alerts([found]))[found]
        return alert

    async def all_alerts(self) -> Sequence[Alert]:
        page = await self.alerts.listed(self.service, None, None, 1000, None)
        return page.alerts


@pytest.fixture
def house() -> House:
    return House()


async def test_a_scan_saves_every_result_the_verdict_and_its_own_write_back(house: House) -> None:
    orders = house.show("orders")
    await house.quality.scan(None, [orders])

    verdict = (await house.quality.verdicts_for(house.service, [orders]))[orders]
    assert (verdict.status, verdict.score, verdict.scanned_at) == (Status.PASS, 100, NOW)
    assert {result.check for result in verdict.results} == {ROWS, FRESHNESS, LATE}
    results = (await house.quality.results_for(house.service, [orders], 1000))[orders]
    of_rows = [r.judgement for r in results if r.check == ROWS]
    assert [j.point.time for j in of_rows] == [p.time for p in reversed(profiles())]
    assert {j.status for j in of_rows[:20]} == {Status.PASS}
    assert {j.status for j in of_rows[-28:]} == {Status.WARMING_UP}
    assert not await house.all_alerts()
    (job,) = house.store.open_jobs
    assert (job.kind, job.payload) == (
        JobKind.WRITE_BACK_QUALITY,
        {"urns": [orders], "removed": {}},
    )


async def test_each_dataset_has_its_own_write_back(house: House) -> None:
    names = [house.show("orders"), house.show("carts")]
    for name in names:
        await house.quality.scan(None, [name])
    for name in names:
        await house.quality.write_back(None, [name], {})
    assert [job.payload["urns"] for job in house.store.open_jobs] == [[n] for n in names]
    assert {result.urn for result in house.hub.results.values()} == set(names)
    assert {name: score.quality for name, score in house.hub.scores.items()} == dict.fromkeys(
        names, 100
    )


async def test_write_back_of_what_was_never_scanned_writes_nothing(house: House) -> None:
    await house.quality.write_back(None, [house.show("orders")], {})
    assert not house.hub.results
    assert not house.hub.scores


async def test_an_alert_opens_once_stays_and_ends_with_the_first_passing_point(
    house: House,
) -> None:
    orders = house.show("orders")
    await house.quality.scan(None, [orders])
    opened = await house.alert("orders")
    assert (opened.check, opened.state, opened.value) == (ROWS, AlertState.OPEN, 400)
    verdict = (await house.quality.verdicts_for(house.service, [orders]))[orders]
    assert (verdict.status, verdict.score) == (Status.FAIL, 50)

    house.show("orders", 400, 410)
    await house.quality.scan(None, [orders])
    assert await house.all_alerts() == (opened,)

    house.show("orders", 400, 410, 4010)
    await house.quality.scan(None, [orders])
    (ended,) = await house.all_alerts()
    assert (ended.id, ended.state) == (opened.id, AlertState.RESOLVED)
    assert ended.ended_at == house.clock.now()
    changes = await house.store.alert_changes(0, None, 10)
    assert [change.alert.state for change in changes] == [AlertState.OPEN, AlertState.RESOLVED]
    assert not await house.alerts.active_for(house.service, [orders])


async def test_a_dataset_that_fails_again_soon_reopens_its_alert(house: House) -> None:
    first = await house.alert("orders")
    orders = house.show("orders", 400, 4010)
    await house.quality.scan(None, [orders])
    house.show("orders", 400, 4010, 390)
    await house.quality.scan(None, [orders])
    (alert,) = await house.all_alerts()
    assert (alert.id, alert.state, alert.reopened) == (first.id, AlertState.OPEN, 1)
    assert alert.ended_at is None


async def test_a_dataset_that_fails_again_later_has_a_new_alert(house: House) -> None:
    first = await house.alert("orders")
    orders = house.show("orders", 400, 4010)
    await house.quality.scan(None, [orders])
    house.show("orders", 400, 4010, 4020, 3990, 390)
    await house.quality.scan(None, [orders])
    assert [a.state for a in await house.all_alerts()] == [AlertState.OPEN, AlertState.RESOLVED]
    assert len({first.id, *(a.id for a in await house.all_alerts())}) == 2


async def test_what_is_closed_by_hand_is_not_opened_again_by_the_same_fault(house: House) -> None:
    alert = await house.alert("orders")
    await house.alerts.close(house.service, alert.id)
    orders = house.show("orders", 400, 410)
    await house.quality.scan(None, [orders])
    (closed,) = await house.all_alerts()
    assert (closed.state, closed.closed_by) == (AlertState.CLOSED, house.service.urn)


async def test_a_snoozed_alert_is_quiet_and_comes_back_when_its_time_is_over(house: House) -> None:
    alert = await house.alert("orders")
    until = house.clock.now() + timedelta(hours=5)
    await house.alerts.snooze(house.service, alert.id, until)
    waking = [job for job in house.store.open_jobs if job.kind is JobKind.WAKE_ALERT]
    assert [job.payload for job in waking] == [{"alert": str(alert.id)}]
    for _ in range(2):
        await house.quality.scan(None, [alert.urn])
        await house.alerts.wake(None, alert.id)
    assert [a.state for a in await house.all_alerts()] == [AlertState.SNOOZED]
    house.clock.advance(timedelta(hours=5))
    for _ in range(2):
        await house.alerts.wake(None, alert.id)
    (woken,) = await house.all_alerts()
    assert (woken.id, woken.state, woken.snoozed_until) == (alert.id, AlertState.OPEN, None)
    changes = await house.store.alert_changes(0, None, 10)
    assert [c.alert.state for c in changes] == [
        AlertState.OPEN,
        AlertState.SNOOZED,
        AlertState.OPEN,
    ]


async def test_a_snoozed_alert_whose_check_passes_resolves(house: House) -> None:
    alert = await house.alert("orders")
    await house.alerts.snooze(house.service, alert.id, house.clock.now() + 3 * DAY)
    house.show("orders", 400, 4010)
    await house.quality.scan(None, [alert.urn])
    assert [a.state for a in await house.all_alerts()] == [AlertState.RESOLVED]
    house.clock.advance(3 * DAY)
    await house.alerts.wake(None, alert.id)
    assert [a.state for a in await house.all_alerts()] == [AlertState.RESOLVED]


async def test_a_muted_dataset_is_quiet_until_its_time_is_over(house: House) -> None:
    orders = house.show("orders", 400)
    until = house.clock.now() + timedelta(hours=2)
    muted = MonitorSettings(orders, muted_until=until)
    await house.monitors.configure(house.service, muted)
    await house.quality.scan(None, [orders])
    assert not await house.all_alerts()
    verdict = (await house.quality.verdicts_for(house.service, [orders]))[orders]
    assert verdict.status is Status.FAIL
    house.clock.advance(timedelta(hours=2))
    await house.quality.scan(None, [orders])
    assert [a.state for a in await house.all_alerts()] == [AlertState.OPEN]


async def test_what_is_not_watched_any_more_ends_its_alerts_and_leaves_the_hub(
    house: House,
) -> None:
    alert = await house.alert("orders")
    await house.quality.write_back(None, [alert.urn], {})
    assert any(result.check == ROWS for result in house.hub.results.values())
    await house.monitors.configure(house.service, MonitorSettings(alert.urn, enabled=False))
    await house.quality.scan(None, [alert.urn])
    assert [a.state for a in await house.all_alerts()] == [AlertState.RESOLVED]
    verdict = (await house.store.quality_of([alert.urn]))[alert.urn]
    assert verdict.results == ()
    for job in house.store.open_jobs:
        if job.kind is JobKind.WRITE_BACK_QUALITY:
            await house.quality.write_back(None, job.payload["urns"], job.payload["removed"])
    assert not house.hub.results


async def test_feedback_is_kept_and_closes_what_was_no_fault(house: House) -> None:
    alert = await house.alert("orders")
    editor = house.hub.admit("editor", "urn:li:corpuser:editor")
    assessed = await house.alerts.assess(editor, alert.id, FeedbackKind.FALSE_POSITIVE)
    assert (assessed.state, assessed.feedback) == (AlertState.CLOSED, FeedbackKind.FALSE_POSITIVE)
    (said,) = (await house.store.feedback_on([alert.urn]))[alert.urn]
    assert (said.check, said.point_time, said.by) == (ROWS, alert.observed_at, editor.urn)
    again = await house.alerts.assess(editor, alert.id, FeedbackKind.REAL)
    assert (again.state, again.feedback) == (AlertState.CLOSED, FeedbackKind.REAL)


async def test_one_upstream_fault_explains_what_it_breaks(house: House) -> None:
    names = ("raw", "clean", "report", "elsewhere")
    raw, clean, report, elsewhere = (urn(name) for name in names)
    for name in names:
        house.show(name, 400)
    house.hub.put(dataset("clean"), upstream=[raw])
    house.hub.put(dataset("report"), upstream=[clean])
    # The victims are scanned first.
    for name in (report, clean, elsewhere, raw):
        await house.quality.scan(None, [name])
    for _ in range(2):
        await house.alerts.announce(None)
    by_urn = {alert.urn: alert for alert in await house.all_alerts()}
    cause = by_urn[raw].id
    assert {name: alert.cause for name, alert in by_urn.items()} == {
        raw: None,
        clean: cause,
        report: cause,
        elsewhere: None,
    }
    victims = await house.alerts.explained_by(house.service, [cause])
    assert {alert.urn for alert in victims[cause]} == {clean, report}

    # What still fails when its cause is gone stands for itself.
    await house.alerts.close(house.service, cause)
    await house.alerts.announce(None)
    by_urn = {alert.urn: alert for alert in await house.all_alerts()}
    assert by_urn[clean].cause is None
    assert by_urn[report].cause == by_urn[clean].id


async def test_data_that_stays_away_raises_an_alert_that_its_coming_ends(house: House) -> None:
    orders = house.show("orders")
    await house.quality.scan(None, [orders])
    house.clock.advance(timedelta(hours=22))  # 27 hours after the last load
    await house.quality.scan(None, [orders])
    (alert,) = await house.all_alerts()
    assert (alert.check, alert.value) == (FRESHNESS, 27)

    house.clock.advance(timedelta(hours=1))
    await house.quality.scan(None, [orders])
    assert await house.all_alerts() == (alert,)

    loads = [*operations(), Operation(house.clock.now(), "INSERT")]
    house.hub.put(dataset("orders"), operations=loads)
    await house.quality.scan(None, [orders])
    (ended,) = await house.all_alerts()
    assert (ended.id, ended.state) == (alert.id, AlertState.RESOLVED)


async def test_a_deprecated_dataset_owes_no_load(house: House) -> None:
    orders = house.show("orders")
    house.clock.advance(4 * DAY)
    await house.quality.scan(None, [orders])
    (late,) = await house.all_alerts()
    house.hub.put(replace(dataset("orders"), deprecated=True))
    house.clock.advance(DAY)
    await house.quality.scan(None, [orders])
    (alert,) = await house.all_alerts()
    assert (alert.id, alert.check, alert.state) == (
        late.id,
        FRESHNESS,
        AlertState.RESOLVED,
    )
    await house.quality.write_back(None, [orders], {})
    shown = max(
        (r for r in house.hub.results.values() if r.check == FRESHNESS),
        key=lambda result: result.judgement.point.time,
    )
    assert (shown.judgement.status, shown.judgement.detector) == (Status.PASS, "deprecated")


async def test_a_back_fill_of_a_year_raises_nothing_about_the_past(house: House) -> None:
    # Weekly loads keep a year below sixty points, which Prophet would be asked about.
    rows = np.random.default_rng(1).normal(4000, 50, 53)
    rows[[35, 40, 41, 45]] = 300
    week = timedelta(days=7)
    runs = [Profile(NOW - (52 - n) * week, round(count)) for n, count in enumerate(rows)]
    house.hub.put(dataset("orders"), profiles=runs)
    await house.quality.scan(None, [urn("orders")])
    results = (await house.quality.results_for(house.service, [urn("orders")], 100))[urn("orders")]
    failed = [r.judgement.point.value for r in results if r.judgement.status is Status.FAIL]
    assert failed == [300] * 4
    assert not await house.all_alerts()
    assert await house.store.last_alert_cursor() == 0


async def test_repeated_and_concurrent_scans_add_nothing(house: House) -> None:
    alert = await house.alert("orders")
    orders = urn("orders")
    before = await house.quality.results_for(house.service, [orders], 1000)
    jobs = house.store.open_jobs

    await asyncio.gather(*(house.quality.scan(None, [orders]) for _ in range(5)))

    assert await house.all_alerts() == (alert,)
    assert await house.quality.results_for(house.service, [orders], 1000) == before
    assert house.store.open_jobs == jobs
    assert len(await house.store.alert_changes(0, None, 10)) == 1


async def test_concurrent_first_scans_raise_one_alert(house: House) -> None:
    orders = house.show("orders", 400)
    await asyncio.gather(*(house.quality.scan(None, [orders]) for _ in range(5)))
    assert len(await house.all_alerts()) == 1
    assert len(await house.store.alert_changes(0, None, 10)) == 1


async def test_a_short_history_is_warming_up_in_silence(house: House) -> None:
    runs = profiles(days=20)
    runs[-1] = Profile(runs[-1].time, 1)
    house.hub.put(dataset("young"), profiles=runs, operations=operations(days=20))
    await house.quality.scan(None, [urn("young")])
    await house.quality.write_back(None, [urn("young")], {})
    verdict = (await house.quality.verdicts_for(house.service, [urn("young")]))[urn("young")]
    assert (verdict.status, verdict.score) == (Status.WARMING_UP, None)
    assert not await house.all_alerts()
    assert not house.hub.results
    assert house.hub.scores[urn("young")].quality is None


async def test_a_dataset_nothing_is_known_of_has_no_metric_and_no_write_back(house: House) -> None:
    house.hub.put(dataset("bare"))
    await house.quality.scan(None, [urn("bare")])
    verdict = (await house.quality.verdicts_for(house.service, [urn("bare")]))[urn("bare")]
    assert (verdict.status, verdict.score, verdict.results) == (Status.WARMING_UP, None, ())
    assert not house.store.open_jobs


@pytest.mark.parametrize("how", ["deleted", "removed"])
async def test_a_dataset_that_has_left_is_forgotten(house: House, how: str) -> None:
    await house.alert("orders")
    if how == "deleted":
        house.hub.delete(urn("orders"))
    else:
        house.hub.put(dataset("orders", removed=True))

    await house.quality.scan(None, [urn("orders")])

    assert await house.store.known_datasets() == frozenset()
    assert not await house.store.results_for([urn("orders")], 10)
    assert not await house.store.alert_changes(0, None, 10)


async def test_a_failing_hub_changes_nothing(house: House) -> None:
    alert = await house.alert("orders")
    house.clock.advance(DAY)
    house.hub.failure = DependencyUnavailable("hub", "DataHub does not answer.")
    with pytest.raises(DependencyUnavailable):
        await house.quality.scan(None, [urn("orders")])
    house.hub.failure = None
    assert await house.all_alerts() == (alert,)


async def test_nothing_is_saved_under_a_lost_lease(house: House) -> None:
    orders = house.show("orders", 400)
    house.hub.put(dataset("gone", removed=True))
    lost = Lease(uuid4(), 1)
    for call in (
        house.quality.scan(lost, [orders]),
        house.quality.scan(lost, [urn("gone")]),
        house.quality.write_back(lost, [orders], {}),
    ):
        with pytest.raises(LeaseLost):
            await call
    assert not await house.store.known_datasets()
    assert not await house.all_alerts()
    assert not house.store.open_jobs


NO_PROFILE = Access(view_profile=False, view_operations=True, edit_assertions=True)
NO_OPERATIONS = Access(view_profile=True, view_operations=False, edit_assertions=False)
NOTHING = Access(view_profile=False, view_operations=False, edit_assertions=False)
READER = Access(view_profile=True, view_operations=True, edit_assertions=False)
ACTORS: dict[str, tuple[Access | None, set[Check]]] = {
    # who: (rights on the dataset, None where it is hidden; the metrics they see)
    "stranger": (None, set()),
    "reader of names": (NOTHING, set()),
    "without profiles": (NO_PROFILE, set()),
    "without operations": (NO_OPERATIONS, {ROWS}),
    "viewer": (READER, {ROWS, FRESHNESS}),
}


@pytest.mark.parametrize("who", ACTORS)
async def test_each_actor_sees_the_metrics_of_what_they_may_see(house: House, who: str) -> None:
    orders = house.show("orders", 400)
    house.clock.advance(timedelta(hours=22))  # late too
    await house.quality.scan(None, [orders])
    rights, checks = ACTORS[who]
    actor = house.hub.admit(who, f"urn:li:corpuser:{who}", rights={orders: rights})

    verdicts = await house.quality.verdicts_for(actor, [orders])
    results = await house.quality.results_for(actor, [orders], 1)
    active = await house.alerts.active_for(actor, [orders])
    page = await house.alerts.listed(actor, None, None, 10, None)

    judged = checks | ({LATE} if FRESHNESS in checks else set())
    assert {r.check for v in verdicts.values() for r in v.results} == judged
    assert all(v.score == 0 and v.status is Status.FAIL for v in verdicts.values())
    assert {result.check for found in results.values() for result in found} == judged
    # A load that stays away is told of once.
    assert {alert.check for found in active.values() for alert in found} == checks
    assert {alert.check for alert in page.alerts} == checks
    assert not page.has_next


async def test_somebody_the_hub_does_not_know_sees_nothing(house: House) -> None:
    alert = await house.alert("orders")
    anonymous = Actor("urn:li:corpuser:nobody", "made-up")
    for call in (
        house.quality.verdicts_for(anonymous, [urn("orders")]),
        house.quality.results_for(anonymous, [urn("orders")], 1),
        house.alerts.active_for(anonymous, [urn("orders")]),
        house.alerts.listed(anonymous, None, None, 1, None),
        house.alerts.acknowledge(anonymous, alert.id),
        house.quality.request_scan(anonymous, [urn("orders")]),
    ):
        with pytest.raises(Unauthenticated):
            await call


async def test_acknowledging_names_who_took_care_and_is_recorded_once(house: House) -> None:
    alert = await house.alert("orders")
    editor = house.hub.admit("editor", "urn:li:corpuser:editor")
    house.clock.advance(timedelta(minutes=5))

    taken = await house.alerts.acknowledge(editor, alert.id)
    again = await house.alerts.acknowledge(editor, alert.id)

    assert taken == again
    assert taken.state is AlertState.ACKNOWLEDGED
    assert taken.acknowledged_by == editor.urn
    assert taken.acknowledged_at == house.clock.now()
    assert house.store.audit_log == ((editor.urn, "acknowledge_alert", (str(alert.id),)),)


@pytest.mark.parametrize(
    ("rights", "error"),
    [(None, NotFound), (NOTHING, NotFound), (NO_PROFILE, NotFound), (READER, Forbidden)],
)
async def test_only_who_may_see_and_edit_acknowledges(
    house: House, rights: Access | None, error: type[Exception]
) -> None:
    alert = await house.alert("orders")
    actor = house.hub.admit("other", "urn:li:corpuser:other", rights={urn("orders"): rights})
    with pytest.raises(error):
        await house.alerts.acknowledge(actor, alert.id)
    assert await house.all_alerts() == (alert,)
    assert not house.store.audit_log


async def test_an_alert_that_is_not_there_cannot_be_acknowledged(house: House) -> None:
    with pytest.raises(NotFound, match="There is no alert"):
        await house.alerts.acknowledge(house.service, UUID(int=1))


async def test_an_alert_of_somebody_else_or_of_the_past_is_a_conflict(house: House) -> None:
    alert = await house.alert("orders")
    other = house.hub.admit("other", "urn:li:corpuser:other")
    await house.alerts.acknowledge(other, alert.id)
    with pytest.raises(Conflict):
        await house.alerts.acknowledge(house.service, alert.id)

    house.show("orders", 400, 4000)
    await house.quality.scan(None, [urn("orders")])
    with pytest.raises(Conflict):
        await house.alerts.acknowledge(house.service, alert.id)
    (ended,) = await house.all_alerts()
    assert (ended.state, ended.acknowledged_by) == (AlertState.RESOLVED, other.urn)


async def test_a_scan_may_be_asked_for_by_who_may_edit(house: House) -> None:
    house.show("orders")
    editor = house.hub.admit("editor", "urn:li:corpuser:editor")
    assert await house.quality.request_scan(editor, [urn("orders"), urn("orders")]) == 1
    (job,) = house.store.open_jobs
    assert (job.kind, job.payload) == (JobKind.SCAN_DATASETS, {"urns": [urn("orders")]})
    assert house.store.audit_log == ((editor.urn, "request_scan", (urn("orders"),)),)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ([urn("orders"), urn("secret")], NotFound),
        ([urn("orders"), urn("nowhere")], NotFound),
        ([urn("orders"), urn("read")], Forbidden),
        ([urn("orders"), "urn:li:corpuser:me"], InvalidInput),
    ],
)
async def test_one_dataset_that_may_not_be_scanned_refuses_them_all(
    house: House, asked: list[str], error: type[Exception]
) -> None:
    for name in ("orders", "secret", "read"):
        house.show(name)
    actor = house.hub.admit(
        "editor", "urn:li:corpuser:editor", rights={urn("secret"): None, urn("read"): READER}
    )
    with pytest.raises(error):
        await house.quality.request_scan(actor, asked)
    assert not house.store.open_jobs
    assert not house.store.audit_log


def made_up(name: str, number: int, opened_at: datetime) -> Alert:
    return Alert(
        id=UUID(int=number + 1),
        urn=urn(name),
        check=ROWS,
        state=AlertState.OPEN,
        dedupe_key=str(number),
        opened_at=opened_at,
        observed_at=opened_at,
        value=1,
        expected=2,
        low=2,
        high=2,
        score=1,
        message="",
    )


@settings(max_examples=40, deadline=None)
@given(
    alerts=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=25),
    hidden=st.sets(st.sampled_from("abc")),
    first=st.integers(1, 6),
)
async def test_pages_are_full_and_together_they_are_the_visible_alerts(
    alerts: list[tuple[str, int]], hidden: set[str], first: int
) -> None:
    house = House()
    for name in "abc":
        house.hub.put(dataset(name))
    rows = [made_up(n, i, NOW + timedelta(hours=hour)) for i, (n, hour) in enumerate(alerts)]
    async with house.store.transaction() as tx:
        rows = [change.alert for change in await tx.save_alerts(rows)]
    actor = house.hub.admit(
        "viewer", "urn:li:corpuser:viewer", rights={urn(name): None for name in hidden}
    )
    visible = [row for row in rows if row.urn not in {urn(name) for name in hidden}]
    expected = sorted(visible, key=lambda a: (a.opened_at, a.id), reverse=True)

    seen: list[Alert] = []
    after = None
    while True:
        page = await house.alerts.listed(actor, None, None, first, after)
        seen += page.alerts
        assert len(page.cursors) == len(page.alerts)
        assert page.has_next == (len(seen) < len(expected))
        if not page.has_next:
            break
        assert len(page.alerts) == first
        after = page.cursors[-1]
    assert seen == expected


async def test_a_page_holds_only_what_was_asked_for(house: House) -> None:
    carts, orders = await house.alert("carts"), await house.alert("orders")
    await house.alerts.acknowledge(house.service, orders.id)
    page = await house.alerts.listed(house.service, [orders.urn], None, 10, None)
    assert [alert.id for alert in page.alerts] == [orders.id]
    page = await house.alerts.listed(house.service, None, [AlertState.OPEN], 10, None)
    assert [alert.id for alert in page.alerts] == [carts.id]
    page = await house.alerts.listed(house.service, [orders.urn], [AlertState.OPEN], 10, None)
    assert page.alerts == ()


@pytest.mark.parametrize("first", [0, -3])
async def test_a_page_of_nothing_is_refused(house: House, first: int) -> None:
    with pytest.raises(InvalidInput, match=f"first is {first}"):
        await house.alerts.listed(house.service, None, None, first, None)


@pytest.mark.parametrize(
    "after", ["", "no cursor", "ä", "bm8=", "MjAyNi0xMS0yNHx4", "MjAyNi0xMS0yNFQwODowMDowMHx4"]
)
async def test_what_is_no_cursor_of_a_page_of_alerts_is_refused(house: House, after: str) -> None:
    with pytest.raises(InvalidInput, match="after is"):
        await house.alerts.listed(house.service, None, None, 1, after)


async def test_a_stream_replays_what_came_after_the_cursor_and_goes_on(house: House) -> None:
    first = await house.alert("orders")
    missed = await house.alert("carts")
    (replayed_from, _) = await house.store.alert_changes(0, None, 10)
    stream = house.alerts.stream(house.service, None, replayed_from.cursor)

    assert (await anext(stream)).alert == missed
    waiting = asyncio.ensure_future(anext(stream))
    house.show("orders", 400, 4000)
    await house.quality.scan(None, [first.urn])
    change = await asyncio.wait_for(waiting, 10)
    assert (change.alert.id, change.alert.state) == (first.id, AlertState.RESOLVED)
    assert change.cursor > replayed_from.cursor
    await stream.aclose()  # type: ignore[attr-defined]


class AskedStore(MemoryStore):
    """Tells when it was asked where the changes end."""

    def __init__(self, clock: MemoryClock) -> None:
        super().__init__(clock)
        self.asked = asyncio.Event()

    async def last_alert_cursor(self) -> int:
        self.asked.set()
        return await super().last_alert_cursor()


async def test_a_stream_without_a_cursor_begins_now() -> None:
    house = House(AskedStore)
    await house.alert("orders")
    stream = house.alerts.stream(house.service, None, None)
    waiting = asyncio.ensure_future(anext(stream))
    assert isinstance(house.store, AskedStore)
    await asyncio.wait_for(house.store.asked.wait(), 10)
    news = await house.alert("carts")
    assert (await asyncio.wait_for(waiting, 10)).alert == news
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_stream_shows_only_what_was_asked_for_and_may_be_seen(house: House) -> None:
    for name in ("secret", "carts", "orders", "late"):
        await house.alert(name)
    viewer = house.hub.admit(
        "viewer", "urn:li:corpuser:viewer", rights={urn("secret"): None, urn("carts"): NOTHING}
    )
    asked = [urn(name) for name in ("secret", "carts", "late")]
    everything: list[AlertChange] = []
    stream = house.alerts.stream(viewer, None, 0)
    everything = [await anext(stream), await anext(stream)]
    await stream.aclose()  # type: ignore[attr-defined]
    assert [change.alert.urn for change in everything] == [urn("orders"), urn("late")]
    stream = house.alerts.stream(viewer, asked, 0)
    assert (await anext(stream)).alert.urn == urn("late")
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_right_that_is_taken_away_ends_what_a_stream_shows(house: House) -> None:
    viewer = house.hub.admit("viewer", "urn:li:corpuser:viewer")
    orders = await house.alert("orders")
    stream = house.alerts.stream(viewer, None, 0)
    assert (await anext(stream)).alert == orders
    house.hub.admit("viewer", viewer.urn, rights={urn("carts"): None})
    waiting = asyncio.ensure_future(anext(stream))
    await house.alert("carts")
    await house.alert("late")
    assert (await asyncio.wait_for(waiting, 10)).alert.urn == urn("late")
    await stream.aclose()  # type: ignore[attr-defined]
