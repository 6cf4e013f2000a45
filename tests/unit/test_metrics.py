"""What series the hub's answers make, and what they leave out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.catalogue import ColumnProfile, Operation, Profile, Usage
from dataspoke.quality.metrics import (
    MOST_COLUMN_SERIES,
    UNITS,
    Series,
    column_checks,
    series_of,
)
from dataspoke.quality.model import Check, Metric, Point

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOW = T0 + 100 * DAY


def values(series: Series) -> list[float]:
    return [point.value for point in series.points]


def test_every_metric_has_a_unit():
    assert set(UNITS) == set(Metric)


def test_nothing_known_is_no_series():
    assert series_of((), (), (), NOW) == {}
    assert series_of([Profile(T0)], (), [Usage(T0, 5)], NOW) == {}


def test_what_profiles_count_makes_series_in_order_of_time():
    profiles = [
        Profile(T0 + 2 * DAY, 30, 4, 900),
        Profile(T0, 10, 3, None),
        Profile(T0 + DAY, None, 3, 800),
        Profile(NOW + DAY, 99, 9, 999),
    ]

    assert series_of(profiles, (), (), NOW) == {
        Check(Metric.ROW_COUNT): Series((Point(T0, 10), Point(T0 + 2 * DAY, 30)), "rows"),
        Check(Metric.COLUMN_COUNT): Series(
            (Point(T0, 3), Point(T0 + DAY, 3), Point(T0 + 2 * DAY, 4)), "columns"
        ),
        Check(Metric.SIZE): Series((Point(T0 + DAY, 800), Point(T0 + 2 * DAY, 900)), "bytes"),
    }


def test_a_column_has_a_series_of_each_number_that_is_reported():
    first = ColumnProfile("price", 1, 0.1, 5, 0.5, 1.0, 9.0, 4.0, 3.0, 2.0)
    second = ColumnProfile("price", 0, 0.0, 6, 0.6, 0.0, 8.0, mean=5.0)
    gone = ColumnProfile("gone", null_share=0.5)
    profiles = [Profile(T0, columns=(first, gone)), Profile(T0 + DAY, columns=(second,))]

    found = series_of(profiles, (), (), NOW)

    assert {check.key: values(series) for check, series in found.items()} == {
        "null_share:price": [0.1, 0.0],
        "unique_share:price": [0.5, 0.6],
        "mean:price": [4.0, 5.0],
        "min:price": [1.0, 0.0],
        "max:price": [9.0, 8.0],
    }


def test_the_last_profile_that_has_columns_says_which_are_watched():
    column = ColumnProfile("email", null_share=0.5)
    profiles = [Profile(T0, 5, columns=(column,)), Profile(T0 + DAY, 6)]

    assert Check(Metric.NULL_SHARE, "email") in series_of(profiles, (), (), NOW)


def test_of_a_key_the_values_are_not_watched():
    key = ColumnProfile("id", null_share=0.0, unique_share=1.0, min=1.0, max=99.0, mean=50.0)

    assert [check.metric for check in column_checks(Profile(T0, columns=(key,)))] == [
        Metric.NULL_SHARE,
        Metric.UNIQUE_SHARE,
    ]


def test_of_a_wide_table_what_finds_most_is_watched():
    columns = tuple(
        ColumnProfile(f"c{n}", 0, 0.0, 5, 0.5, 1.0, 2.0, 1.5, 1.5, 0.5) for n in range(250)
    )

    checks = column_checks(Profile(T0, columns=columns))

    assert len(checks) == MOST_COLUMN_SERIES
    assert checks[:250] == [Check(Metric.NULL_SHARE, f"c{n}") for n in range(250)]
    assert checks[250:] == [Check(Metric.UNIQUE_SHARE, f"c{n}") for n in range(50)]


def test_freshness_is_the_hours_between_updates_and_a_look_at_now():
    times = [T0, T0 + DAY, T0 + DAY + timedelta(minutes=10), T0 + 2 * DAY]
    operations = [Operation(time, "INSERT") for time in reversed(times)]

    found = series_of((), operations, (), T0 + 2 * DAY + 6 * HOUR)

    assert found == {
        Check(Metric.FRESHNESS): Series(
            (
                Point(T0 + DAY, 24.0),
                Point(T0 + 2 * DAY, 24.0),
                Point(T0 + 2 * DAY + 6 * HOUR, 6.0),
            ),
            "hours",
            (T0, T0 + DAY, T0 + 2 * DAY),
            frozenset({2}),
        )
    }


def daily(days: int) -> list[Operation]:
    return [Operation(T0 + day * DAY + 3 * HOUR, "INSERT") for day in range(days)]


def test_late_arrival_looks_at_now_while_an_update_is_overdue():
    due = T0 + 40 * DAY + 3 * HOUR
    early = series_of((), daily(40), (), due - HOUR)[Check(Metric.LATE_ARRIVAL)]
    late = series_of((), daily(40), (), due + 5 * HOUR)[Check(Metric.LATE_ARRIVAL)]

    assert set(values(early)) == {0.0}
    assert early.probes == frozenset()
    assert late.points == (*early.points, Point(due + 5 * HOUR, 5.0))
    assert late.season_times == (*(early.season_times or ()), due)
    assert late.probes == frozenset({len(early.points)})


def test_a_dataset_without_a_cadence_has_freshness_alone():
    assert list(series_of((), daily(6), (), NOW)) == [Check(Metric.FRESHNESS)]


def test_queries_are_counted_by_the_day_but_the_one_that_is_still_counted():
    usage = [Usage(T0 + 3 * DAY, 7), Usage(T0, 5, 2), Usage(T0 + 4 * DAY, 1)]

    found = series_of((), (), usage, T0 + 4 * DAY + HOUR)

    assert found == {
        Check(Metric.QUERY_COUNT): Series(
            tuple(Point(T0 + n * DAY, value) for n, value in enumerate((5.0, 0.0, 0.0, 7.0))),
            "queries",
        )
    }


@pytest.mark.parametrize("usage", [[], [Usage(T0, 5)], [Usage(T0, None), Usage(T0 + DAY, 3)]])
def test_a_single_day_may_still_be_counted(usage):
    assert series_of((), (), usage, NOW) == {}


counts = st.one_of(st.none(), st.integers(0, 10**12))
histories = st.lists(st.tuples(st.integers(0, 60), counts, counts), max_size=40)


@given(histories, st.integers(0, 60))
def test_a_cut_changes_no_point_before_it(history, cut):
    profiles = [Profile(T0 + day * DAY, rows, size_bytes=size) for day, rows, size in history]
    operations = [Operation(T0 + day * DAY + 3 * HOUR, "INSERT") for day, _, _ in history]
    usage = [Usage(T0 + day * DAY, rows) for day, rows, _ in history]
    now = T0 + cut * DAY

    whole = series_of(profiles, operations, usage, NOW)
    before = series_of(profiles, operations, usage, now)

    for check, series in before.items():
        kept = [p for n, p in enumerate(series.points) if n not in series.probes]
        assert list(whole[check].points[: len(kept)]) == kept
    assert all(p.time <= now for series in before.values() for p in series.points)
