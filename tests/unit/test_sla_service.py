"""Deadlines of a generated pipeline, watched through the day, for every kind of caller."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.compute import InlineCompute
from dataspoke.adapters.memory.feed import MemoryFeed
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.catalogue import Dataset, Operation
from dataspoke.errors import (
    Conflict,
    DependencyUnavailable,
    Forbidden,
    InvalidInput,
    LeaseLost,
    NotFound,
)
from dataspoke.ports.hub import Access
from dataspoke.ports.notifier import Channels
from dataspoke.ports.store import JobKind, Lease
from dataspoke.quality.alerting import AlertService
from dataspoke.quality.model import (
    Alert,
    AlertState,
    MonitorSettings,
    Severity,
    Window,
)
from dataspoke.quality.notifications.service import NotificationService
from dataspoke.quality.sla.alerts import SLA
from dataspoke.quality.sla.model import Sla, SlaStatus, SlaTarget
from dataspoke.quality.sla.service import CHECK_EVERY, SlaService
from tests.support.pipelines import DAY, FIRST, MART, RAW, STAGING, pipeline

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# Monday, 16 March 2026, in Berlin one hour ahead of UTC.
DAYS = 70
TODAY = FIRST + DAYS * DAY
DEADLINE = TODAY + 8 * HOUR
REPORT = "report"


def urn(name: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,shop.{name},PROD)"


TARGET = SlaTarget(urn(MART), "0 9 * * *", "Europe/Berlin")


class House:
    """A pipeline of three tables and a report, and the service that watches the mart."""

    def __init__(self, *, days: int = DAYS, **late: float) -> None:
        """``late`` holds by how many hours each table is late today; infinite for not at all."""
        self.clock = MemoryClock(TODAY - HOUR)
        self.hub = MemoryHub()
        self.store = MemoryStore(self.clock)
        self.feed = MemoryFeed(DAY)
        self.slas = SlaService(
            self.hub, self.store, self.feed, InlineCompute(), self.clock, timedelta(0)
        )
        notifications = NotificationService(self.hub, self.store, self.clock, Channels())
        self.alerts = AlertService(self.hub, self.store, self.feed, self.clock, notifications)
        self.editor = self.hub.admit("editor", "urn:li:corpuser:editor")
        past = {(RAW, 20): 3.0, (RAW, 41): 2.0, (STAGING, 33): 1.5}
        today = {(name, DAYS): min(hours, 24.0) for name, hours in late.items()}
        made = pipeline(2, DAYS + 1, late={**past, **today})
        self.loads: dict[str, list[datetime]] = {
            name: [time for time in times if time >= FIRST + (DAYS - days) * DAY]
            for name, times in made.loads.items()
        }
        self._above = {MART: [STAGING], STAGING: [RAW], RAW: [], REPORT: [MART]}
        self.loads[REPORT] = []
        self._shown: dict[str, dict[str, bool]] = {}
        self.show()

    def show(self, **deprecated: bool) -> None:
        """Let the hub know what has happened by now."""
        for name, above in self._above.items():
            self.hub.put(
                Dataset(
                    urn(name),
                    f"shop.{name}",
                    "urn:li:dataPlatform:postgres",
                    deprecated=deprecated.get(name, False),
                ),
                operations=[
                    Operation(time, "INSERT")
                    for time in self.loads[name]
                    if time <= self.clock.now()
                ],
                upstream=[urn(one) for one in above],
            )

    async def until(self, moment: datetime, **deprecated: bool) -> None:
        """Let time pass up to a moment, with a check every five minutes, as the schedule does."""
        while self.clock.now() < moment:
            self.clock.advance(min(CHECK_EVERY, moment - self.clock.now()))
            if await self.store.sla_targets_to_look_at(self.clock.now(), 1):
                self.show(**deprecated)
                await self.slas.check(None)

    async def sla(self) -> Sla:
        return (await self.slas.slas_for(self.editor, [urn(MART)]))[urn(MART)]

    async def all_alerts(self) -> Sequence[Alert]:
        return (await self.alerts.listed(self.editor, None, None, 100, None)).alerts


async def watched(target: SlaTarget = TARGET, **late: float) -> House:
    house = House(**late)
    await house.slas.set_target(house.editor, target)
    return house


async def test_a_day_as_any_other_raises_nothing() -> None:
    house = await watched()
    await house.until(TODAY + HOUR)
    sla = await house.sla()
    assert sla.next_deadline == DEADLINE
    assert sla.outlook is not None
    assert (sla.outlook.status, sla.outlook.cause) == (SlaStatus.ON_TRACK, None)
    assert sla.outlook.chance is not None
    assert sla.outlook.chance < 0.1
    assert sla.outlook.expected_at is not None
    assert abs(sla.outlook.expected_at - (TODAY + 3.75 * HOUR)) < timedelta(minutes=20)
    await house.until(TODAY + 5 * HOUR)
    sla = await house.sla()
    assert sla.outlook is not None
    assert (sla.outlook.status, sla.outlook.chance) == (SlaStatus.MET, 0)
    assert not sla.outcomes
    await house.until(DEADLINE)
    sla = await house.sla()
    assert [(o.deadline, o.status, o.warned_at) for o in sla.outcomes] == [
        (DEADLINE, SlaStatus.MET, None)
    ]
    assert sla.next_deadline == DEADLINE + DAY
    assert not await house.all_alerts()


async def test_a_late_source_is_told_of_once_hours_before_the_deadline_is_missed() -> None:
    """Raw data come at ten instead of two: the mart is loaded at a quarter to twelve."""
    house = await watched(**{RAW: 8.0})
    await house.until(DEADLINE - MINUTE)
    (warning,) = await house.all_alerts()
    assert (warning.check, warning.urn) == (SLA, urn(MART))
    assert (warning.state, warning.severity) == (AlertState.OPEN, Severity.WARN)
    assert DEADLINE - warning.opened_at > 1.5 * HOUR
    assert warning.message.startswith(f"shop.{MART}: 8")
    assert "% chance to miss the deadline of 09:00 (Europe/Berlin); " in warning.message
    assert f"; shop.{RAW} is " in warning.message
    assert warning.message.endswith(" hours late. 1 dataset downstream.")
    assert warning.value > 0

    sla = await house.sla()
    assert sla.outlook is not None
    assert (sla.outlook.status, sla.outlook.warned_at) == (SlaStatus.AT_RISK, warning.opened_at)
    assert sla.outlook.cause is not None
    assert (sla.outlook.cause.urn, sla.outlook.cause.arrived) == (urn(RAW), False)

    await house.until(DEADLINE + HOUR)
    (missed,) = await house.all_alerts()
    assert (missed.id, missed.state, missed.severity) == (
        warning.id,
        AlertState.OPEN,
        Severity.ERROR,
    )
    assert missed.message.startswith(
        f"shop.{MART}: missed the deadline of 09:00 (Europe/Berlin); shop.{RAW} is "
    )

    await house.until(TODAY + 13 * HOUR)
    (ended,) = await house.all_alerts()
    assert (ended.id, ended.state) == (warning.id, AlertState.RESOLVED)
    assert ended.ended_at is not None
    assert TODAY + 11.5 * HOUR < ended.ended_at < TODAY + 12.5 * HOUR
    changes = await house.store.alert_changes(0, None, 10)
    assert [(c.alert.state, c.alert.severity) for c in changes] == [
        (AlertState.OPEN, Severity.WARN),
        (AlertState.OPEN, Severity.ERROR),
        (AlertState.RESOLVED, Severity.ERROR),
    ]
    (outcome,) = (await house.sla()).outcomes
    assert (outcome.status, outcome.warned_at) == (SlaStatus.MISSED, warning.opened_at)
    assert outcome.arrived_at == house.loads[MART][-1]
    record = (await house.sla()).record
    assert (record.hits, record.hit_rate, record.recall) == (1, 1.0, 1.0)
    assert record.lead_time == DEADLINE - warning.opened_at
    assert JobKind.ANNOUNCE_ALERTS in {job.kind for job in house.store.open_jobs}


async def test_a_warning_that_does_not_come_true_ends_with_the_load() -> None:
    house = await watched(replace(TARGET, warn_at=0.3), **{RAW: 3.5})
    await house.until(DEADLINE + HOUR)
    (alert,) = await house.all_alerts()
    assert (alert.state, alert.severity) == (AlertState.RESOLVED, Severity.WARN)
    (outcome,) = (await house.sla()).outcomes
    assert outcome.status is SlaStatus.MET
    assert outcome.warned_at is not None
    assert (await house.sla()).record.hit_rate == 0


async def test_a_table_that_stays_away_for_days_has_one_alert_until_it_is_loaded() -> None:
    house = await watched(**{MART: float("inf")})
    house.loads[MART] = house.loads[MART][:-1]
    await house.until(TODAY + 2 * DAY + 12 * HOUR)
    (alert,) = await house.all_alerts()
    assert (alert.state, alert.severity) == (AlertState.OPEN, Severity.ERROR)
    outcomes = (await house.sla()).outcomes
    assert [o.status for o in outcomes] == [SlaStatus.MISSED] * 3
    house.loads[MART].append(TODAY + 2 * DAY + 13 * HOUR)
    await house.until(TODAY + 2 * DAY + 16 * HOUR)
    (alert,) = await house.all_alerts()
    assert alert.state is AlertState.RESOLVED


async def test_a_load_that_is_reported_late_was_in_time() -> None:
    house = await watched()
    load = house.loads[MART].pop()
    await house.until(DEADLINE + 10 * MINUTE)
    (alert,) = await house.all_alerts()
    assert (alert.state, alert.severity) == (AlertState.OPEN, Severity.ERROR)
    house.loads[MART].append(load)
    await house.until(DEADLINE + HOUR)
    (alert,) = await house.all_alerts()
    assert alert.state is AlertState.RESOLVED
    (outcome,) = (await house.sla()).outcomes
    assert (outcome.status, outcome.arrived_at) == (SlaStatus.MET, load)


async def test_what_a_person_closed_is_not_opened_again_for_that_deadline() -> None:
    house = await watched(**{RAW: 8.0})
    await house.until(DEADLINE - HOUR)
    (warning,) = await house.all_alerts()
    await house.alerts.close(house.editor, warning.id)
    await house.until(TODAY + 13 * HOUR)
    (closed,) = await house.all_alerts()
    assert (closed.state, closed.severity) == (AlertState.CLOSED, Severity.WARN)


async def test_a_muted_or_deprecated_dataset_and_an_excluded_day_are_let_be() -> None:
    late = {RAW: 8.0}
    muted, deprecated, excluded = [await watched(**late) for _ in range(3)]
    async with muted.store.transaction() as tx:
        await tx.save_monitor(MonitorSettings(urn(MART), muted_until=TODAY + 11 * HOUR))
    async with excluded.store.transaction() as tx:
        window = Window(TODAY, TODAY + DAY)
        await tx.save_monitor(MonitorSettings(urn(MART), exclusions=(window,)))
    for house in (muted, excluded):
        await house.until(TODAY + 10.9 * HOUR)
    await deprecated.until(TODAY + 10.9 * HOUR, **{MART: True})
    for house in (muted, deprecated, excluded):
        assert not await house.all_alerts()
    assert [o.warned_at for o in (await muted.sla()).outcomes] == [None]
    assert not (await excluded.sla()).outcomes
    # It is told of what is still wrong when its rest is over.
    await muted.until(TODAY + 11.4 * HOUR)
    assert [a.severity for a in await muted.all_alerts()] == [Severity.ERROR]


@pytest.mark.parametrize(("days", "told"), [(0, False), (5, True)])
async def test_with_few_loads_nobody_is_warned_but_a_miss_is_a_miss(days: int, told: bool) -> None:
    house = House(days=days, **{RAW: 8.0})
    await house.slas.set_target(house.editor, TARGET)
    await house.until(DEADLINE - MINUTE)
    sla = await house.sla()
    assert sla.outlook is not None
    assert (sla.outlook.status, sla.outlook.chance) == (SlaStatus.WARMING_UP, None)
    assert not await house.all_alerts()
    await house.until(DEADLINE + HOUR)
    assert [a.severity for a in await house.all_alerts()] == [Severity.ERROR] * told


async def test_deadlines_before_the_target_was_set_are_not_judged() -> None:
    house = House(**{RAW: 8.0})
    house.clock.advance(10 * HOUR)
    house.show()
    await house.slas.set_target(house.editor, TARGET)
    await house.until(TODAY + 12 * HOUR)
    assert not await house.all_alerts()
    assert not (await house.sla()).outcomes


async def test_checks_are_due_when_there_is_something_to_see() -> None:
    house = await watched()
    looked: list[datetime] = []
    while house.clock.now() < DEADLINE + 4 * HOUR:
        now = house.clock.now()
        if await house.store.sla_targets_to_look_at(now, 1):
            looked.append(now)
        house.show()
        await house.slas.check(None)
        house.clock.advance(CHECK_EVERY)
    # At once, from eight hours before, less and less apart until the load, and at the deadline.
    assert looked[0] == TODAY - HOUR
    assert looked[1] == TODAY
    assert len(looked) <= 12
    assert looked[-1] == DEADLINE


async def test_many_targets_are_looked_at_in_jobs_of_a_hundred() -> None:
    house = House()
    names = [f"t{number}" for number in range(150)]
    for name in names:
        house.hub.put(Dataset(urn(name), name, "urn:li:dataPlatform:postgres"), operations=[])
        await house.slas.set_target(house.editor, replace(TARGET, urn=urn(name)))
    for left in (50, 0):
        await house.slas.check(None)
        now = house.clock.now()
        assert len(await house.store.sla_targets_to_look_at(now, 200)) == left
        assert JobKind.CHECK_SLAS in {job.kind for job in house.store.open_jobs}


async def test_a_check_without_its_lease_saves_nothing() -> None:
    house = await watched(**{RAW: 8.0})
    house.clock.advance(9 * HOUR - MINUTE)
    house.show()
    with pytest.raises(LeaseLost):
        await house.slas.check(Lease(UUID(int=1), 1))
    assert not await house.all_alerts()
    assert (await house.sla()).outlook is None


async def test_a_hub_that_is_down_costs_only_the_check() -> None:
    house = await watched()
    house.hub.failure = DependencyUnavailable("hub", "The hub is down.")
    with pytest.raises(DependencyUnavailable):
        await house.slas.check(None)
    house.hub.failure = None
    await house.until(TODAY)
    assert (await house.sla()).outlook is not None


async def test_disabling_or_removing_a_target_ends_its_alert() -> None:
    for removed in (False, True):
        house = await watched(**{RAW: 8.0})
        await house.until(DEADLINE + HOUR)
        if removed:
            await house.slas.remove_target(house.editor, urn(MART))
            assert not await house.slas.slas_for(house.editor, [urn(MART)])
        else:
            target = (await house.sla()).target
            await house.slas.set_target(house.editor, replace(target, enabled=False))
            assert (await house.sla()).next_deadline is None
        (alert,) = await house.all_alerts()
        assert alert.state is AlertState.RESOLVED
        await house.until(DEADLINE + 2 * HOUR)
        assert len(await house.all_alerts()) == 1
    with pytest.raises(NotFound, match="has no SLA target"):
        await house.slas.remove_target(house.editor, urn(MART))


async def test_who_may_set_a_target() -> None:
    house = House()
    looking = Access(view_profile=True, view_operations=True, edit_assertions=False)
    viewer = house.hub.admit("v", "urn:li:corpuser:v", rights={urn(MART): looking})
    stranger = house.hub.admit("s", "urn:li:corpuser:s", rights={urn(MART): None})
    for actor, error in ((viewer, Forbidden), (stranger, NotFound)):
        with pytest.raises(error):
            await house.slas.set_target(actor, TARGET)
        with pytest.raises(error):
            await house.slas.remove_target(actor, urn(MART))
    with pytest.raises(InvalidInput, match="five fields"):
        await house.slas.set_target(house.editor, replace(TARGET, cron="daily"))
    assert not house.store.audit_log

    saved = await house.slas.set_target(house.editor, TARGET)
    assert saved == replace(TARGET, set_at=house.clock.now(), version=1)
    with pytest.raises(Conflict):
        await house.slas.set_target(house.editor, TARGET)
    assert house.store.audit_log == (("urn:li:corpuser:editor", "set_sla_target", (urn(MART),)),)
    assert {job.kind for job in house.store.open_jobs} == {
        JobKind.CHECK_SLAS,
        JobKind.SCAN_DATASETS,
    }


async def test_who_may_see_what() -> None:
    house = await watched(**{RAW: 8.0})
    await house.until(DEADLINE + HOUR)
    no_raw = house.hub.admit("a", "urn:li:corpuser:a", rights={urn(RAW): None})
    no_operations = house.hub.admit(
        "b",
        "urn:li:corpuser:b",
        rights={urn(MART): Access(view_profile=True, view_operations=False, edit_assertions=True)},
    )
    shown = (await house.slas.slas_for(no_raw, [urn(MART)]))[urn(MART)]
    assert shown.outcomes[0].status is SlaStatus.MISSED
    assert shown.outcomes[0].cause is None
    assert not await house.slas.slas_for(no_operations, [urn(MART)])
    assert not (await house.alerts.listed(no_operations, None, None, 10, None)).alerts
    with pytest.raises(Forbidden, match="View Dataset Operations"):
        await house.slas.backtest(no_operations, TARGET)


async def test_a_backtest_tries_a_target_on_the_past_and_saves_nothing() -> None:
    house = House(**{RAW: 8.0})
    house.clock.advance(25 * HOUR)
    house.show()
    found = await house.slas.backtest(house.editor, TARGET)
    assert found.outcomes[0].status is SlaStatus.MISSED
    assert found.outcomes[0].cause is not None
    assert found.outcomes[0].cause.urn == urn(RAW)
    assert (found.record.missed, found.record.hits) == (1, 1)
    # A deadline at half past five had been missed on the days when the source was late, too.
    earlier = await house.slas.backtest(house.editor, replace(TARGET, cron="30 6 * * *"))
    missed = [o.deadline for o in earlier.outcomes if o.status is SlaStatus.MISSED]
    assert missed == [FIRST + day * DAY + 5.5 * HOUR for day in (DAYS, 41, 20)]
    assert not house.store.open_jobs
    assert not house.store.audit_log
