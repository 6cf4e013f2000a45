"""Backtests: what scans would have alerted on, for every kind of caller."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.compute import InlineCompute
from dataspoke.adapters.memory.hub import FULL_ACCESS, MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.catalogue import Dataset, Operation, Profile
from dataspoke.errors import Forbidden, InvalidInput, NotFound
from dataspoke.ports.hub import Access
from dataspoke.quality.backtest import (
    Backtest,
    CheckBacktest,
    backtest,
    changed_alerts,
    openings,
    replayable,
    thinned,
)
from dataspoke.quality.backtesting import BacktestService
from dataspoke.quality.detectors import WATCHES, Exclusions, judge
from dataspoke.quality.model import (
    AlertState,
    Check,
    Feedback,
    FeedbackKind,
    Judgement,
    Metric,
    MonitorSettings,
    Point,
    Status,
    Window,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
ROWS, AGE, LATE = (
    Check(metric) for metric in (Metric.ROW_COUNT, Metric.FRESHNESS, Metric.LATE_ARRIVAL)
)
# Below sixty, so that no test pays for a fit of Prophet.
DAYS = 55
LAST_PROFILE = NOW - 5 * HOUR


def profiles(**rows_ago: int) -> tuple[Profile, ...]:
    """A healthy table's profiles, one a day; ``d3=1`` sets the rows of three days ago."""
    rows = np.random.default_rng(7).normal(4000, 40, DAYS).round().astype(int).tolist()
    for name, value in rows_ago.items():
        rows[DAYS - 1 - int(name[1:])] = value
    return tuple(
        Profile(LAST_PROFILE - (DAYS - 1 - day) * DAY, count) for day, count in enumerate(rows)
    )


def operations(*, missing: tuple[int, ...] = ()) -> tuple[Operation, ...]:
    """Loads at 06:00, one a day but some days ago."""
    first = NOW - 6 * HOUR
    return tuple(
        Operation(first - ago * DAY, "INSERT") for ago in range(DAYS) if ago not in missing
    )


def replayed(
    some_profiles: tuple[Profile, ...] = (),
    some_operations: tuple[Operation, ...] = (),
    *,
    days: int = 20,
    deprecated: bool = False,
    **options: Any,
) -> Backtest:
    looks = [NOW - ago * DAY - 4 * HOUR for ago in range(DAYS, -1, -1)]
    series = replayable(some_profiles, some_operations, (), [*looks, NOW], deprecated=deprecated)
    return backtest(URN, series, NOW - days * DAY, NOW, **options)


def of(found: Backtest, check: Check) -> CheckBacktest:
    (one,) = (one for one in found.checks if one.check == check)
    return one


def judged(*letters: str, step: timedelta = 3 * DAY) -> list[Judgement]:
    statuses = {"p": Status.PASS, "F": Status.FAIL, "w": Status.WARMING_UP}
    return [
        Judgement(Point(NOW + i * step, 1.0), statuses[letter], "test")
        for i, letter in enumerate("".join(letters))
    ]


def test_an_alert_opens_once_for_each_stretch() -> None:
    opened = openings(judged("wwpFFFpFwF"))
    assert [i for i, one in enumerate(opened) if one] == [3, 7]
    assert openings([]) == []


def test_what_comes_and_goes_is_told_of_as_a_scan_would() -> None:
    # It comes back twice within two days and then stays open for as long.
    opened = openings(judged("FpFpFpFpFp", step=HOUR))
    assert [i for i, one in enumerate(opened) if one] == [0, 2, 4]


def test_a_healthy_history_raises_nothing() -> None:
    found = replayed(profiles(), operations())
    assert [one.check for one in found.checks] == [AGE, LATE, ROWS]
    assert found.alerts_per_month == 0
    rows = of(found, ROWS)
    assert (rows.judged, rows.failed, rows.alerts) == (20, 0, ())
    assert len(rows.judgements) == 20


def test_an_alert_is_told_with_its_peak_and_its_end() -> None:
    found = replayed(profiles(d10=2000, d9=100, d8=1500, d2=50), operations())
    rows = of(found, ROWS)
    first, second = rows.alerts
    assert first.alert.opened_at == LAST_PROFILE - 10 * DAY
    assert first.alert.ended_at == LAST_PROFILE - 7 * DAY
    assert first.alert.value == 2000
    assert first.peak.point == Point(LAST_PROFILE - 9 * DAY, 100)
    assert first.alert.low is not None
    assert 3000 < first.alert.low < 4000
    assert "row count was 2,000 rows" in first.alert.message
    assert (second.alert.opened_at, second.alert.value) == (LAST_PROFILE - 2 * DAY, 50)
    assert rows.failed == 4
    days_judged = (NOW - rows.judgements[0].point.time) / DAY
    assert rows.alerts_per_month == pytest.approx(2 * 365.25 / 12 / days_judged)
    assert found.alerts_per_month == pytest.approx(rows.alerts_per_month)


def test_an_alert_that_has_not_ended_is_open() -> None:
    (alert,) = of(replayed(profiles(d0=10)), ROWS).alerts
    assert alert.alert.state is AlertState.OPEN
    assert alert.alert.ended_at is None


def test_what_was_before_is_learned_from_and_raises_nothing() -> None:
    found = replayed(profiles(d25=10), days=20)
    assert of(found, ROWS).alerts == ()
    assert len(of(replayed(profiles(d25=10), days=26), ROWS).alerts) == 1


def test_a_load_that_stays_away_is_seen_by_the_scan_of_the_day() -> None:
    found = replayed((), operations(missing=(5,)))
    (alert,) = of(found, AGE).alerts
    assert alert.alert.opened_at == NOW - 5 * DAY - 4 * HOUR
    assert alert.alert.ended_at == NOW - 4 * DAY - 4 * HOUR
    assert alert.alert.value == 26
    assert of(found, AGE).failed == 1


def test_nobody_owes_a_deprecated_dataset_a_load() -> None:
    found = replayed((), operations(missing=tuple(range(20))), deprecated=True)
    assert found.checks == ()


def test_a_young_dataset_has_no_frequency() -> None:
    found = replayed(profiles()[-10:])
    rows = of(found, ROWS)
    assert (rows.judged, rows.alerts_per_month, found.alerts_per_month) == (0, None, None)
    assert replayed().checks == ()


def test_the_live_scan_says_the_same_of_each_point() -> None:
    history = profiles(d10=2000)
    points = [Point(p.time, float(p.row_count or 0)) for p in history]
    assert of(replayed(history), ROWS).judgements == tuple(
        judge(points, WATCHES[Metric.ROW_COUNT])[-20:]
    )


def test_two_backtests_differ_by_the_alerts_that_only_one_has() -> None:
    one, other = replayed(profiles(d10=10, d3=10)), replayed(profiles(d3=10, d15=10))
    only_one, only_other = changed_alerts(of(one, ROWS).alerts, of(other, ROWS).alerts)
    assert [a.alert.opened_at for a in only_one] == [LAST_PROFILE - 10 * DAY]
    assert [a.alert.opened_at for a in only_other] == [LAST_PROFILE - 15 * DAY]
    assert changed_alerts(of(one, ROWS).alerts, of(one, ROWS).alerts) == ((), ())


def test_feedback_shows_which_alerts_it_would_have_changed() -> None:
    # A new level for four days: the fourth comes after a break, and is an alert of its own.
    history = profiles(d14=6000, d13=6000, d12=6000, d8=6000)
    without = of(replayed(history), ROWS)
    assert len(without.alerts) == 2
    said = {ROWS: {LAST_PROFILE - 14 * DAY: FeedbackKind.EXPECTED_CHANGE}}
    found = of(replayed(history, feedback=said), ROWS)
    assert [a.alert.opened_at for a in found.silenced] == [LAST_PROFILE - 8 * DAY]
    kept = [a.alert.id for a in without.alerts if a not in found.silenced]
    assert [a.alert.id for a in found.alerts] == [*kept, *(a.alert.id for a in found.added)]
    assert (without.silenced, without.added) == ((), ())


def test_what_is_excluded_is_neither_judged_nor_alerted_on() -> None:
    window = Window(LAST_PROFILE - 11 * DAY, LAST_PROFILE - 9 * DAY)
    found = replayed(profiles(d10=10), exclusions=Exclusions([window]))
    assert of(found, ROWS).alerts == ()
    assert of(found, ROWS).judged == 18


def test_a_smaller_budget_widens_the_range() -> None:
    wide, narrow = (
        of(replayed(profiles(), rates={ROWS: rate}), ROWS).judgements[-1] for rate in (0.0001, 0.05)
    )
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low


def test_a_picture_leaves_out_no_fault_before_the_others() -> None:
    series = judged("p" * 60, "F", "p" * 60, "F")
    assert thinned(series, 200) == series
    kept = thinned(series, 10)
    assert len(kept) == 10
    assert [one for one in kept if one.status is Status.FAIL] == [series[60], series[121]]
    assert kept == sorted(kept, key=lambda one: one.point.time)
    assert thinned(judged("F" * 50), 5) == judged("F" * 50)[::10]


class House:
    """The service on a hub in memory, with one dataset that has lost rows ten days ago."""

    def __init__(self) -> None:
        self.hub = MemoryHub()
        self.hub.put(
            Dataset(URN, "shop.orders", "urn:li:dataPlatform:postgres"),
            profiles=profiles(d10=10),
            operations=operations(),
        )
        clock = MemoryClock(NOW)
        self.store = MemoryStore(clock)
        self.service = BacktestService(self.hub, self.store, InlineCompute(), clock, 1.0)

    async def checks(self, access: Access | None, check: Check | None = None) -> list[Check]:
        actor = self.hub.admit("token", "urn:li:corpuser:somebody", rights={URN: access})
        found = await self.service.backtest(actor, URN, check, 20, None)
        return [one.check for one in found.checks]


@pytest.fixture
def house() -> House:
    return House()


async def test_a_caller_sees_what_they_may_see(house: House) -> None:
    without_operations = Access(view_profile=True, view_operations=False, edit_assertions=False)
    without_profile = Access(view_profile=False, view_operations=True, edit_assertions=True)
    assert await house.checks(FULL_ACCESS) == [AGE, LATE, ROWS]
    assert await house.checks(FULL_ACCESS, ROWS) == [ROWS]
    assert await house.checks(FULL_ACCESS, Check(Metric.SIZE)) == []
    assert await house.checks(without_operations) == [ROWS]
    with pytest.raises(Forbidden, match="View Dataset Operations"):
        await house.checks(without_operations, AGE)
    with pytest.raises(Forbidden, match="View Dataset Profile"):
        await house.checks(without_profile)
    with pytest.raises(NotFound, match="There is no dataset"):
        await house.checks(None)


async def test_the_frequency_is_that_of_the_checks_shown(house: House) -> None:
    everything = await house.service.replay(URN, None, 20, None)
    rows = await house.service.replay(URN, ROWS, 20, None)
    age = await house.service.replay(URN, AGE, 20, None)
    assert rows.alerts_per_month == everything.alerts_per_month
    assert rows.alerts_per_month is not None
    assert rows.alerts_per_month > 1
    assert age.alerts_per_month == 0
    assert (rows.since, rows.until) == (NOW - 20 * DAY, NOW)


@pytest.mark.parametrize("days", [0, 731])
async def test_days_are_up_to_two_years(house: House, days: int) -> None:
    with pytest.raises(InvalidInput, match=f"days is {days}; give 1 to 730"):
        await house.service.replay(URN, None, days, None)


async def test_a_dataset_that_is_not_there_is_named(house: House) -> None:
    gone = URN.replace("orders", "gone")
    with pytest.raises(NotFound, match=r"shop\.gone"):
        await house.service.replay(gone, None, 20, None)
    house.hub.put(Dataset(gone, "shop.gone", "urn:li:dataPlatform:postgres", removed=True))
    with pytest.raises(NotFound):
        await house.service.replay(gone, None, 20, None)
    with pytest.raises(InvalidInput, match="is not a dataset urn"):
        await house.service.replay("orders", None, 20, None)


@pytest.mark.parametrize("budget", [0.0, -1.0, 15.0])
async def test_a_budget_is_above_0_up_to_14(house: House, budget: float) -> None:
    with pytest.raises(InvalidInput, match="give more than 0 and at most 14"):
        await house.service.replay(URN, None, 20, budget)


async def test_the_budget_in_force_is_the_datasets_own_unless_another_is_tried(
    house: House,
) -> None:
    async def low(budget: float | None) -> float:
        found = await house.service.replay(URN, ROWS, 20, budget)
        low = of(found, ROWS).judgements[-1].low
        assert low is not None
        return low

    general = await low(None)
    async with house.store.transaction() as tx:
        await tx.save_monitor(MonitorSettings(URN, alerts_per_fortnight=0.01))
    assert await low(None) == await low(0.01) < general == await low(1.0)


async def test_exclusions_and_feedback_of_the_dataset_are_heeded(house: House) -> None:
    day = LAST_PROFILE - 10 * DAY
    said = Feedback(URN, ROWS, day, FeedbackKind.FALSE_POSITIVE, "urn:li:corpuser:a", NOW)
    async with house.store.transaction() as tx:
        await tx.save_feedback([said])
    (alert,) = of(await house.service.replay(URN, ROWS, 20, None), ROWS).alerts
    assert alert.alert.opened_at == day
    async with house.store.transaction() as tx:
        await tx.save_monitor(MonitorSettings(URN, exclusions=(Window(day, day + HOUR),)))
    assert of(await house.service.replay(URN, ROWS, 20, None), ROWS).alerts == ()
