"""The chance to miss a deadline, and what is in the way."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.quality.sla.backtest import backtest
from dataspoke.quality.sla.deadlines import Cycle, next_cycle, past_cycles
from dataspoke.quality.sla.forecast import FEWEST_ARRIVALS, Forecast, Upstream
from dataspoke.quality.sla.model import Outlook, SlaRecord, SlaStatus, SlaTarget, record_of
from tests.support.pipelines import DAY, FIRST, MART, RAW, STAGING, Pipeline, pipeline

URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
TARGET = SlaTarget(URN, "0 8 * * *")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
DAYS = 40
# The cycle that follows those days.
DEADLINE = FIRST + DAYS * DAY + 8 * HOUR
MIDNIGHT = FIRST + DAYS * DAY


def upstreams(made: Pipeline, *more: tuple[str, datetime]) -> list[Upstream]:
    added = {name: [time for of, time in more if of == name] for name in (RAW, STAGING)}
    return [
        Upstream(STAGING, (*made.loads[STAGING], *added[STAGING]), (RAW,)),
        Upstream(RAW, (*made.loads[RAW], *added[RAW]), direct=False),
    ]


def cycles() -> tuple[list[Cycle], Cycle]:
    upcoming = next_cycle(TARGET, MIDNIGHT)
    assert upcoming is not None
    assert upcoming.deadline == DEADLINE
    return past_cycles(TARGET, MIDNIGHT, DAYS, FIRST), upcoming


PAST, CYCLE = cycles()


def forecast(updates: Sequence[datetime], above: Sequence[Upstream] = ()) -> Forecast:
    return Forecast(TARGET, PAST, updates, above)


def chance(outlook: Outlook) -> float:
    assert outlook.chance is not None
    return outlook.chance


hours = st.floats(-9, 9).map(lambda h: timedelta(hours=h))


@given(st.lists(hours, min_size=FEWEST_ARRIVALS, max_size=DAYS), st.data())
@settings(deadline=None)
def test_the_chance_is_one_and_rises_while_no_load_comes(
    offsets: list[timedelta], data: st.DataObject
) -> None:
    updates = sorted(c.deadline + o for c, o in zip(PAST, offsets, strict=False))
    updates = [u for u in updates if u <= CYCLE.opens_at]
    model = forecast(updates)
    moments = sorted(data.draw(st.lists(st.floats(-12, -0.001), min_size=2, max_size=6)))
    seen = [model.outlook(CYCLE, DEADLINE + timedelta(hours=hour)) for hour in moments]
    if seen[0].status is SlaStatus.WARMING_UP:
        return
    chances = [chance(outlook) for outlook in seen]
    assert all(0 < one <= 1 for one in chances)
    assert chances == sorted(chances)
    for outlook in seen:
        assert outlook.expected_earliest is not None
        assert outlook.expected_at is not None
        assert outlook.expected_latest is not None
        assert outlook.expected_earliest <= outlook.expected_at <= outlook.expected_latest
        assert outlook.expected_latest <= CYCLE.closes_at


@given(st.integers(0, 30), st.floats(0, 12), st.floats(0, 12))
@settings(deadline=None, max_examples=50)
def test_a_later_upstream_never_lowers_the_chance_of_a_load_that_is_not_overdue(
    seed: int, one: float, other: float
) -> None:
    made = pipeline(seed, DAYS, faults=0.05)
    # The earliest load so far came later than this.
    early = min(load - c.deadline for c, load in zip(PAST, made.loads[MART], strict=True))
    now = DEADLINE + early - 40 * MINUTE
    chances = []
    for late in sorted([one, other]):
        came = MIDNIGHT - 6 * HOUR + late * HOUR
        model = forecast(made.loads[MART], upstreams(made, (RAW, came), (STAGING, came)))
        chances.append(chance(model.outlook(CYCLE, now)))
    missing = forecast(made.loads[MART], upstreams(made))
    chances.append(chance(missing.outlook(CYCLE, now)))
    for earlier, later in pairwise(chances):
        assert later >= earlier - 1e-9


def test_once_the_load_has_come_all_is_certain() -> None:
    made = pipeline(1, DAYS)
    for came, status, certain in (
        (DEADLINE, SlaStatus.MET, 0.0),
        (DEADLINE + HOUR, SlaStatus.MISSED, 1.0),
    ):
        seen = forecast([*made.loads[MART], came]).outlook(CYCLE, DEADLINE + 2 * HOUR)
        assert (seen.status, seen.chance, seen.arrived_at) == (status, certain, came)
        assert seen.expected_at is None
    gone = forecast(made.loads[MART]).outlook(CYCLE, DEADLINE)
    assert (gone.status, gone.chance, gone.arrived_at) == (SlaStatus.MISSED, 1.0, None)


@pytest.mark.parametrize("days", [0, 1, FEWEST_ARRIVALS - 1, FEWEST_ARRIVALS])
def test_with_few_loads_no_chance_is_told(days: int) -> None:
    made = pipeline(1, DAYS)
    seen = forecast(made.loads[MART][DAYS - days :]).outlook(CYCLE, DEADLINE - HOUR)
    assert (seen.status is SlaStatus.WARMING_UP) == (days < FEWEST_ARRIVALS)
    assert (seen.chance is None) == (days < FEWEST_ARRIVALS)


def test_deadlines_that_no_load_came_for_raise_the_chance() -> None:
    made = pipeline(1, DAYS)
    some = [load for day, load in enumerate(made.loads[MART]) if day == 0 or day % 4]
    early = DEADLINE - 7 * HOUR
    usual = chance(forecast(made.loads[MART]).outlook(CYCLE, early))
    assert usual < 0.02
    assert chance(forecast(some).outlook(CYCLE, early)) == pytest.approx(9 / 41, abs=0.02)


def test_a_late_upstream_raises_the_chance_long_before_the_load_is_due() -> None:
    """Raw data are four hours late: the load, due at a quarter to four, will come at about 7:45."""
    made = pipeline(3, DAYS)
    came = MIDNIGHT + 6 * HOUR
    now = came + MINUTE
    model = forecast(made.loads[MART], upstreams(made, (RAW, came)))
    seen = model.outlook(CYCLE, now)
    assert seen.cause is not None
    assert (seen.cause.urn, seen.cause.arrived) == (RAW, True)
    assert seen.cause.late / HOUR == pytest.approx(4.0, abs=0.2)
    assert seen.expected_at is not None
    assert abs(seen.expected_at - (MIDNIGHT + 7.75 * HOUR)) < timedelta(minutes=15)
    # Half an hour later everything would be too late.
    later = forecast(made.loads[MART], upstreams(made, (RAW, came + HOUR)))
    assert chance(later.outlook(CYCLE, now + HOUR)) > 0.95


def test_an_upstream_that_has_not_come_is_the_cause_and_what_waits_for_it_is_not() -> None:
    made = pipeline(3, DAYS)
    model = forecast(made.loads[MART], upstreams(made))
    seen = model.outlook(CYCLE, MIDNIGHT + 5 * HOUR)
    assert seen.cause is not None
    assert (seen.cause.urn, seen.cause.arrived) == (RAW, False)
    assert seen.cause.late / HOUR == pytest.approx(3.0, abs=0.2)


def test_what_is_late_of_itself_is_the_cause() -> None:
    made = pipeline(3, DAYS)
    model = forecast(made.loads[MART], upstreams(made, (RAW, MIDNIGHT + 2 * HOUR)))
    seen = model.outlook(CYCLE, MIDNIGHT + 6 * HOUR)
    assert seen.cause is not None
    assert (seen.cause.urn, seen.cause.arrived) == (STAGING, False)


def test_what_the_dataset_does_not_wait_for_has_no_influence() -> None:
    """The mart goes by its own clock, and was there before the raw data were, more than once."""
    made = pipeline(5, DAYS)
    stranger = pipeline(6, DAYS, late={(RAW, 7): 5.0, (RAW, 23): 3.0}).loads[RAW]
    above = [Upstream(RAW, tuple(stranger))]
    now = MIDNIGHT + 5 * HOUR
    with_it = forecast(made.loads[MART], above).outlook(CYCLE, now)
    without = forecast(made.loads[MART]).outlook(CYCLE, now)
    assert with_it == without
    assert with_it.cause is None


def test_a_delay_that_the_schedule_absorbs_does_no_harm() -> None:
    """The mart starts at six: raw data may be two hours late, as they were before."""
    made = pipeline(
        5, DAYS, starts={MART: 6.0}, late={(RAW, 7): 5.0, (RAW, 15): 1.5, (RAW, 23): 4.0}
    )
    early = MIDNIGHT + 5 * HOUR
    absorbed = upstreams(made, (RAW, MIDNIGHT + 3.5 * HOUR), (STAGING, MIDNIGHT + 4.25 * HOUR))
    assert chance(forecast(made.loads[MART], absorbed).outlook(CYCLE, early)) < 0.1
    too_late = upstreams(made, (RAW, MIDNIGHT + 7 * HOUR))
    seen = forecast(made.loads[MART], too_late).outlook(CYCLE, MIDNIGHT + 7 * HOUR + MINUTE)
    assert chance(seen) > 0.9
    assert seen.cause is not None
    assert seen.cause.urn == RAW


def test_a_table_without_loads_in_between_is_seen_through() -> None:
    made = pipeline(3, DAYS, late={(RAW, 7): 3.0, (RAW, 23): 1.0})
    above = [Upstream("view", (), (RAW,)), Upstream(RAW, tuple(made.loads[RAW]), direct=False)]
    seen = forecast(made.loads[MART], above).outlook(CYCLE, MIDNIGHT + 5 * HOUR)
    assert seen.cause is not None
    assert seen.cause.urn == RAW


def test_lineage_in_a_circle_ends() -> None:
    made = pipeline(3, DAYS)
    above = [
        Upstream(STAGING, tuple(made.loads[STAGING]), (RAW, URN)),
        Upstream(RAW, tuple(made.loads[RAW]), (STAGING,), direct=False),
    ]
    seen = forecast(made.loads[MART], above).outlook(CYCLE, MIDNIGHT + 5 * HOUR)
    assert seen.cause is not None
    assert 0 < chance(seen) <= 1


@given(st.integers(0, 100), st.integers(0, 12 * 60))
@settings(deadline=None, max_examples=30)
def test_nothing_that_comes_later_is_known_before(seed: int, minute: int) -> None:
    made = pipeline(seed, DAYS + 1, faults=0.2)
    now = CYCLE.opens_at + minute * MINUTE
    cut = {name: tuple(t for t in times if t <= now) for name, times in made.loads.items()}
    whole = forecast(made.loads[MART], upstreams(made)).outlook(CYCLE, now)
    assert forecast(cut[MART], upstreams(Pipeline(cut))).outlook(CYCLE, now) == whole


def test_a_backtest_warns_early_rightly_and_of_the_right_cause() -> None:
    """Pipelines of half a year, with faults in one of 25 loads of each table."""
    records, causes = [], []
    for seed in range(6):
        made = pipeline(seed, 180, faults=0.04)
        found = backtest(TARGET, made.loads[MART], upstreams(made), FIRST + 180 * DAY)
        records.append(found.record)
        for outcome in found.outcomes:
            if outcome.warned_at is not None and outcome.status is SlaStatus.MISSED:
                named = MART if outcome.cause is None else outcome.cause.urn
                causes.append((named, made.causes[(outcome.deadline - FIRST).days]))
    missed, warned = sum(r.missed for r in records), sum(r.warned for r in records)
    hits = sum(r.hits for r in records)
    assert missed >= 20
    assert hits / missed >= 0.9
    assert hits / warned >= 0.6
    assert all(r.lead_time is None or r.lead_time > HOUR for r in records)
    assert sum(named == true for named, true in causes) / len(causes) >= 0.9


def test_a_backtest_of_a_healthy_pipeline_warns_of_nothing() -> None:
    made = pipeline(11, 120)
    found = backtest(TARGET, made.loads[MART], upstreams(made), FIRST + 120 * DAY)
    # The first ten deadlines have too few loads before them.
    assert found.record == SlaRecord(
        deadlines=120 - FEWEST_ARRIVALS, missed=0, warned=0, hits=0, lead_time=None
    )
    assert (found.record.hit_rate, found.record.recall) == (None, None)
    assert [o.deadline for o in found.outcomes] == sorted(
        (o.deadline for o in found.outcomes), reverse=True
    )


def test_a_record_counts_what_is_settled() -> None:
    def outcome(day: int, status: SlaStatus, warned: float | None = None) -> Outlook:
        deadline = datetime(2026, 5, day, 8, tzinfo=UTC)
        warned_at = None if warned is None else deadline - warned * HOUR
        return Outlook(URN, deadline, status, deadline, warned_at=warned_at)

    record = record_of(
        [
            outcome(1, SlaStatus.MET),
            outcome(2, SlaStatus.MET, 1),
            outcome(3, SlaStatus.MISSED, 2),
            outcome(4, SlaStatus.MISSED, 3),
            outcome(5, SlaStatus.MISSED),
            outcome(6, SlaStatus.AT_RISK, 4),
        ]
    )
    assert record == SlaRecord(deadlines=5, missed=3, warned=3, hits=2, lead_time=2.5 * HOUR)
    assert (record.hit_rate, record.recall) == (2 / 3, 2 / 3)
