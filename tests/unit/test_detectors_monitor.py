"""A monitor: stored and taken up again, and told what persons know."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspoke.errors import InvalidInput
from dataspoke.quality.detectors import (
    DEFAULT_BUDGET,
    WATCHES,
    Direction,
    Exclusions,
    FalseAlarmBudget,
    SeriesMonitor,
    StaleState,
    Watch,
    judge,
)
from dataspoke.quality.model import FeedbackKind, Judgement, Metric, Point, Status, Window

START = datetime(2026, 5, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = WATCHES[Metric.ROW_COUNT]
# Without the fits of Prophet and the forest, which take the longest.
BAND = replace(ROWS, thorough=False)
WEEK = np.array([1.0, 1.1, 1.05, 1.0, 1.2, 0.6, 0.5])


def series(values: "list[float]", step: timedelta = DAY) -> list[Point]:
    return [Point(START + i * step, float(value)) for i, value in enumerate(values)]


def shop_week(days: int, seed: int = 0, noise: float = 0.05) -> list[float]:
    rng = np.random.default_rng(seed)
    values = np.rint(4000 * WEEK[np.arange(days) % 7] * np.exp(rng.normal(0, noise, days)))
    return [float(value) for value in values]


def failing(judged: list[Judgement]) -> list[int]:
    return [i for i, j in enumerate(judged) if j.status is Status.FAIL]


def broken_hours() -> list[Point]:
    rng = np.random.default_rng(6)
    hours = np.arange(500)
    values = 100 + 20 * np.sin(hours * 2 * np.pi / 24) + rng.normal(0, 2, 500)
    values[200:206] += 60
    values[300:330] -= 50
    return series(values.tolist(), timedelta(hours=1))


def broken_days() -> list[Point]:
    values = shop_week(130)
    values[70] *= 3
    for day in range(90, 110):
        values[day] *= 2
    return series(values)


@pytest.mark.parametrize("points", [broken_days(), broken_hours()], ids=["days", "hours"])
def test_a_stored_monitor_goes_on_as_if_it_had_never_stopped(points: list[Point]) -> None:
    watch = ROWS
    whole = judge(points, watch)
    monitor = SeriesMonitor(watch)
    judged = []
    for index, point in enumerate(points):
        if index % 20 == 0 or 88 < index < 94:
            state = monitor.state()
            assert len(state) <= 60_000
            monitor = SeriesMonitor.restore(state, watch)
            assert monitor.state() == state
        judged.append(monitor.observe(point))
    assert judged == whole
    assert failing(judged)


def test_what_only_learns_judges_the_next_point_alike() -> None:
    points = broken_days()
    for cut in (61, 88, 125):
        monitor = SeriesMonitor(ROWS)
        for point in points[:cut]:
            monitor.learn(point)
        kept = SeriesMonitor.restore(monitor.state(), ROWS)
        expected = judge(points[: cut + 1], ROWS)[-1]
        assert monitor.probe(points[cut]) == expected
        assert kept.observe(points[cut]) == monitor.observe(points[cut]) == expected


def test_a_state_that_is_none_or_another_ones_is_refused() -> None:
    monitor = SeriesMonitor(ROWS)
    monitor.observe(series([1.0])[0])
    for data in (b"", b"no state", monitor.state()[:-20]):
        with pytest.raises(StaleState, match="cannot be read"):
            SeriesMonitor.restore(data, ROWS)
    with pytest.raises(StaleState, match="another"):
        SeriesMonitor.restore(monitor.state(), Watch(direction=Direction.HIGH))


def test_the_score_is_highest_where_a_fault_begins_and_fades_while_it_lasts() -> None:
    points = broken_hours()
    scores = [j.score or 0.0 for j in judge(points, Watch())]
    usual = max(scores[100:200])
    assert scores[200] > usual
    assert scores[200] > max(scores[201:206])
    assert scores[200] > 0.75


def test_a_spike_that_comes_again_and_again_is_less_and_less_of_a_surprise() -> None:
    rng = np.random.default_rng(12)
    values = 100 + rng.normal(0, 2, 2600)
    spikes = list(range(400, 2600, 300))
    values[spikes] += 80
    scores = [j.score or 0.0 for j in judge(series(values.tolist(), timedelta(hours=1)), Watch())]
    assert scores[spikes[0]] > 0.9
    assert scores[spikes[-1]] < scores[spikes[0]]


@pytest.mark.parametrize("per_day", [0.025, -0.03])
def test_a_slow_drift_is_found_before_it_is_over(per_day: float) -> None:
    values = shop_week(130)
    for day in range(100, 115):
        values[day] *= (1 + per_day) ** (day - 99)
    failed = failing(judge(series(values), BAND))
    assert failed
    assert 100 < failed[0] < 115
    assert not failing(judge(series(shop_week(130)), BAND))


def test_what_is_excluded_is_neither_judged_nor_learned_from() -> None:
    values = shop_week(120)
    wild = [*values]
    for day in range(80, 90):
        wild[day] *= 20
    closed = Exclusions([Window(START + 80 * DAY, START + 90 * DAY)])
    judged = judge(series(wild), BAND, exclusions=closed)
    assert {j.status for j in judged[80:90]} == {Status.WARMING_UP}
    assert {j.detector for j in judged[80:90]} == {"excluded"}
    assert not failing(judged)
    alike = judge(series(values), BAND, exclusions=closed)
    assert judged[90:] == alike[90:]


def test_public_holidays_are_excluded() -> None:
    values = shop_week(300)
    christmas = (datetime(2026, 12, 25, tzinfo=UTC).date() - START.date()).days
    values[christmas] = 0.0
    assert failing(judge(series(values), BAND)) == [christmas]
    judged = judge(series(values), BAND, exclusions=Exclusions(country="DE"))
    assert not failing(judged)
    assert judged[christmas].detector == "excluded"
    with pytest.raises(InvalidInput, match="two letters"):
        Exclusions(country="Atlantis")


def test_what_was_no_fault_is_learned_from() -> None:
    values = shop_week(140)
    for day in (80, 95, 110, 125):
        values[day] *= 1.9
    points = series(values)
    said = {points[day].time: FeedbackKind.FALSE_POSITIVE for day in (80, 95, 110)}
    assert failing(judge(points, BAND)) == [80, 95, 110, 125]
    heard = judge(points, BAND, feedback=said)
    assert heard[:81] == judge(points, BAND)[:81]
    assert 125 not in failing(heard)


def test_what_was_a_fault_never_becomes_the_new_normal() -> None:
    values = shop_week(140)
    for day in range(100, 125):
        values[day] *= 3
    points = series(values)
    said = {points[100].time: FeedbackKind.REAL}
    assert failing(judge(points, BAND)) != list(range(100, 125))
    assert failing(judge(points, BAND, feedback=said)) == list(range(100, 125))


def test_what_was_meant_is_the_new_normal_at_once() -> None:
    values = shop_week(140)
    for day in range(100, 140):
        values[day] *= 3
    points = series(values)
    said = {points[100].time: FeedbackKind.EXPECTED_CHANGE}
    assert failing(judge(points, BAND, feedback=said)) == [100]


@given(st.lists(st.floats(1e-3, 400), max_size=50), st.floats(0.1, 14))
def test_a_budget_is_never_overdrawn_and_bears_on_every_dataset(
    days: list[float], alarms: float
) -> None:
    cadences = [timedelta(days=one) for one in days]
    rate = FalseAlarmBudget(alarms).rate(cadences)
    points = sum(timedelta(days=14) / one for one in cadences)
    assert 0 < rate <= 0.05
    assert rate * points <= alarms * (1 + 1e-9)
    assert FalseAlarmBudget(alarms / 2).rate(cadences) < rate or rate == 0.05
    assert FalseAlarmBudget(alarms).rate([*cadences, DAY]) <= rate
    assert FalseAlarmBudget(2 * alarms, timedelta(days=28)).rate(cadences) == pytest.approx(rate)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["normal", "laplace", "seasonal"]),
    st.sampled_from([timedelta(hours=1), DAY]),
)
@settings(max_examples=4, deadline=None)
def test_healthy_noise_stays_within_the_budget(seed: int, kind: str, cadence: timedelta) -> None:
    rng = np.random.default_rng(seed)
    many, length = 4, 240
    rate = DEFAULT_BUDGET.rate([cadence] * many)
    alarms = 0
    for _ in range(many):
        noise = rng.laplace(0, 1, length) if kind == "laplace" else rng.normal(0, 1, length)
        season = 5 * np.sin(np.arange(length) * 2 * np.pi / 24) if kind == "seasonal" else 0.0
        points = series((100 + noise + season).tolist(), cadence)
        judged = judge(points, Watch(thorough=False), rate=rate)
        failed = [False, *(j.status is Status.FAIL for j in judged)]
        alarms += sum(now and not before for before, now in pairwise(failed))
    # One a fortnight for all four together; a chance of one in a hundred thousand is no luck.
    expected = max(1.0, DEFAULT_BUDGET.alarms * length * cadence / timedelta(days=14))
    assert alarms <= expected + 5 * np.sqrt(expected)
