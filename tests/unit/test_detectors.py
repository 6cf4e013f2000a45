"""What a detector promises, whatever the series."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.catalogue import Operation
from dataspoke.quality.detectors import (
    WARM_UP_POINTS,
    WATCHES,
    DatasetHistory,
    Direction,
    Watch,
    judge,
    judge_dataset,
    judge_freshness,
)
from dataspoke.quality.model import Check, Judgement, Metric, Point, Status

START = datetime(2026, 5, 1, 6, tzinfo=UTC)
ROWS = WATCHES[Metric.ROW_COUNT]
# Without the fits of Prophet and the forest, which take the longest.
BAND = replace(ROWS, thorough=False)
WEEK = np.array([1.0, 1.1, 1.05, 1.0, 1.2, 0.6, 0.5])

# Below sixty points, so that the fits of Prophet stay out of the many runs.
short = st.lists(
    st.one_of(
        st.floats(0, 1e9), st.integers(0, 20).map(float), st.sampled_from([math.nan, math.inf, 0.0])
    ),
    max_size=55,
)
watches = st.builds(
    Watch,
    direction=st.sampled_from(Direction),
    floor=st.just(0.0),
    cap=st.sampled_from([None, 1e10]),
    relative=st.booleans(),
    least_change=st.floats(0, 10),
)


def daily(values: "list[float] | np.ndarray[tuple[int], np.dtype[np.float64]]") -> list[Point]:
    return [Point(START + timedelta(days=day), float(v)) for day, v in enumerate(values)]


def shop_week(days: int, seed: int = 0) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    rng = np.random.default_rng(seed)
    return np.rint(4000 * WEEK[np.arange(days) % 7] * np.exp(rng.normal(0, 0.05, days)))


def failing(judged: list[Judgement]) -> list[int]:
    return [i for i, j in enumerate(judged) if j.status is Status.FAIL]


@given(short, watches, st.integers(0, 55))
@settings(max_examples=30, deadline=None)
def test_cutting_a_series_short_changes_no_judgement_before_the_cut(
    values: list[float], watch: Watch, cut: int
) -> None:
    whole = judge(daily(values), watch)
    assert repr(judge(daily(values[:cut]), watch)) == repr(whole[:cut])


def test_prophet_does_not_look_ahead_either() -> None:
    values = shop_week(140)
    values[100] = 900
    whole = judge(daily(values), ROWS)
    assert {j.detector for j in whole[70:]} >= {"seasonal-band+prophet"}
    for cut in (75, 101, 130):
        assert judge(daily(values[:cut]), ROWS) == whole[:cut]


def test_judging_only_what_is_new_gives_the_same() -> None:
    points = daily(shop_week(140))
    assert judge(points, ROWS, start=137) == judge(points, ROWS)[137:]


@given(short, watches)
@settings(max_examples=30, deadline=None)
def test_a_point_fails_exactly_where_it_lies_outside_its_range(
    values: list[float], watch: Watch
) -> None:
    judged = judge(daily(values), watch)
    assert len(judged) == len(values)
    for value, judgement in zip(values, judged, strict=True):
        numbers = (judgement.expected, judgement.low, judgement.high, judgement.score)
        if judgement.status is Status.WARMING_UP:
            assert numbers == (None, None, None, None)
            continue
        expected, low, high, score = (number for number in numbers if number is not None)
        assert 0 <= low <= expected <= high
        assert 0 <= score <= 1
        assert (judgement.status is Status.FAIL) == (not low <= value <= high)
        if watch.direction is Direction.HIGH:
            assert low == 0
        assert (high == math.inf) == (watch.direction is Direction.LOW and watch.cap is None)


@given(st.floats(0, 1e12), st.integers(0, 80), st.sampled_from([BAND, Watch()]))
@settings(max_examples=25, deadline=None)
def test_a_constant_series_never_fails(level: float, days: int, watch: Watch) -> None:
    judged = judge(daily([level] * days), watch)
    assert not failing(judged)
    assert all(j.status is Status.PASS for j in judged[WARM_UP_POINTS:])


@given(st.integers(28, 54).map(shop_week), st.integers(-20, 20))
@settings(max_examples=25, deadline=None)
def test_a_change_of_unit_changes_no_verdict(
    values: "np.ndarray[tuple[int], np.dtype[np.float64]]", exponent: int
) -> None:
    values[-1] *= 0.2
    plain, scaled = (judge(daily(v), Watch()) for v in (values, values * 2.0**exponent))
    assert [j.status for j in plain] == [j.status for j in scaled]
    for one, other in zip(plain, scaled, strict=True):
        if one.high is not None:
            assert other.high == pytest.approx(one.high * 2.0**exponent)


@pytest.mark.parametrize(
    ("factor", "fails"), [(0.1, True), (0.5, True), (1.0, False), (1.1, False), (2.5, True)]
)
def test_rows_that_go_missing_or_come_twice_are_told_from_a_weeks_rhythm(
    factor: float, fails: bool
) -> None:
    values = shop_week(121)
    values[120] *= factor
    judged = judge(daily(values), BAND)
    assert failing(judged) == ([120] if fails else [])


def test_a_peak_at_each_months_end_is_news_once() -> None:
    values = shop_week(180)
    last_days = [
        day
        for day in range(180)
        if (START + timedelta(days=day + 2)).month != (START + timedelta(days=day)).month
    ]
    values[last_days] *= 2.6
    judged = judge(daily(values), ROWS)
    assert {daily(values)[i].time.month for i in failing(judged)} <= {5, 6}
    # Two days before a month's end nothing is excused, and at its end half is still missing.
    for day, factor in ((last_days[-1] - 3, 2.6), (last_days[-1], 0.2)):
        broken = values.copy()
        broken[day] *= factor
        assert day in failing(judge(daily(broken), ROWS))


def test_a_look_at_freshness_is_what_a_scan_at_that_moment_says() -> None:
    rng = np.random.default_rng(4)
    operations = [
        Operation(START + timedelta(days=day, minutes=rng.normal(0, 8)), "INSERT")
        for day in range(58)
        if day != 50
    ]
    looks = [START + timedelta(days=day, hours=2) for day in range(58)]
    judged = judge_freshness(operations, looks)
    for day in (10, 40, 49, 50, 51, 57):
        history = DatasetHistory("urn", operations=tuple(operations))
        verdicts = judge_dataset(history, looks[day])
        verdict = next(v for v in verdicts if v.check == Check(Metric.FRESHNESS))
        assert verdict.judgements[-1] == judged[day]
    assert [j.point.time for j in judged if j.status is Status.FAIL] == [looks[50]]
    assert judge_freshness(operations, []) == judge_freshness([], looks) == []


def test_a_probe_leaves_no_trace() -> None:
    values = shop_week(55)
    probed = np.insert(values, 40, 1e9)
    times = np.insert(np.arange(55.0), 40, 39.5)
    points = [
        Point(START + timedelta(days=day), value)
        for day, value in zip(times.tolist(), probed.tolist(), strict=True)
    ]
    judged = judge(points, BAND, probes={40})
    assert judged[40].status is Status.FAIL
    assert [*judged[:40], *judged[41:]] == judge(daily(values), BAND)


def test_a_series_that_jumps_often_is_given_a_wider_range() -> None:
    rng = np.random.default_rng(9)
    values = 100 + rng.normal(0, 1, 3000)
    jumps = np.flatnonzero(rng.random(3000) < 0.03)
    values[jumps[jumps >= 500]] += 12
    points = [Point(START + timedelta(minutes=5 * i), v) for i, v in enumerate(values.tolist())]
    failed = failing(judge(points, Watch()))
    assert len([i for i in failed if i >= 2000]) < 0.5 * len([i for i in failed if i < 1500])


def test_a_fault_is_no_part_of_the_baseline() -> None:
    values = shop_week(121)
    values[100:110] *= 0.3
    judged = judge(daily(values), BAND)
    assert failing(judged) == list(range(100, 110))
    before, after = judged[93], judged[114]  # the same day of the week
    assert before.low is not None
    assert after.low == pytest.approx(before.low, rel=0.15)


def test_fourteen_failing_points_on_one_side_are_the_new_normal() -> None:
    values = shop_week(150)
    values[100:] *= 3
    assert failing(judge(daily(values), BAND)) == list(range(100, 114))


def test_a_weekend_is_silent_and_a_working_day_like_it_is_not() -> None:
    values = shop_week(120)
    assert not failing(judge(daily(values), BAND))
    values[116] = values[117] = 2000  # a Tuesday
    assert 116 in failing(judge(daily(values), BAND))


def test_gaps_and_wandering_times_do_not_shift_the_week() -> None:
    rng = np.random.default_rng(3)
    points = [
        Point(p.time + timedelta(hours=rng.uniform(-6, 6)), p.value)
        for day, p in enumerate(daily(shop_week(150)))
        if day % 11 and day not in range(80, 90)
    ]
    assert not failing(judge(points, BAND))


@pytest.mark.parametrize("times", ["same", "backwards"])
def test_times_that_stand_still_or_run_backwards_do_no_harm(times: str) -> None:
    step = timedelta(0) if times == "same" else timedelta(days=-1)
    points = [Point(START + i * step, 100.0) for i in range(80)]
    assert not failing(judge(points, BAND))


def test_the_last_bit_of_a_float_is_no_fault() -> None:
    values = [0.1 + 0.2, 0.3] * 60
    assert not failing(judge(daily(values), Watch()))


def test_a_few_rows_more_in_a_table_that_never_changed_are_no_fault() -> None:
    assert not failing(judge(daily([250.0] * 60 + [254.0] * 60), BAND))


def test_only_the_side_that_matters_can_fail() -> None:
    values = 24 + np.random.default_rng(5).normal(0, 0.3, 120)
    values[100], values[110] = 12, 40
    assert failing(judge(daily(values), WATCHES[Metric.FRESHNESS])) == [110]
