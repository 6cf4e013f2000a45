"""When updates were due follows from the habit of those before."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.quality.arrivals import Arrival, arrivals

# A Monday.
T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
THREE = 3 * HOUR


def loads(days: int, seed: int = 1, weekdays_only: bool = False) -> list[datetime]:
    """Daily at about three, some minutes early or late."""
    minutes = random.Random(seed)
    return [
        T0 + day * DAY + THREE + timedelta(minutes=minutes.gauss(0, 6))
        for day in range(days)
        if not weekdays_only or day % 7 < 5
    ]


def lateness(updates: list[datetime]) -> dict[datetime, float]:
    return {each.came: (each.came - each.due) / HOUR for each in arrivals(updates).came}


def test_a_daily_load_is_due_when_it_usually_comes():
    updates = loads(60)
    found = arrivals(updates)

    # It takes eight updates to see a habit, and two weeks to see its week.
    assert [each.came for each in found.came] == updates[22:]
    assert all(abs(each.came - each.due) < timedelta(minutes=30) for each in found.came)
    assert found.next_due is not None
    assert abs(found.next_due - (T0 + 60 * DAY + THREE)) < timedelta(minutes=10)


@pytest.mark.parametrize("late_h", [2.0, 6.0, 14.0, 20.0, 23.9])
def test_a_late_load_is_late_by_the_clock_and_the_next_one_is_not(late_h):
    updates = loads(60)
    updates[40] += late_h * HOUR

    found = lateness(updates)

    assert found[updates[40]] == pytest.approx(late_h, abs=0.6)
    assert all(abs(found.get(each, 0.0)) < 0.6 for each in updates if each != updates[40])
    # Where it came next to the one of the day after, that one was not waited for any more.
    assert len(found) >= 60 - 22 - 1


def test_two_late_days_are_late_twice_though_a_day_lies_between_them():
    updates = loads(60)
    for day in (40, 41):
        updates[day] += 6 * HOUR

    found = lateness(updates)

    assert [found[updates[day]] > 5 for day in range(38, 44)] == [
        False, False, True, True, False, False
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_a_load_that_was_left_out_makes_the_next_one_late_and_no_other(seed):
    updates = loads(60, seed)
    left_out = updates.pop(40)

    found = lateness(updates)

    late = {came: hours for came, hours in found.items() if hours > 1}
    assert list(late) == [updates[40]]
    assert late[updates[40]] == pytest.approx(24, abs=1)
    assert left_out not in found


def test_what_has_not_come_yet_is_due_since_its_time():
    next_due = arrivals(loads(60)[:-3]).next_due

    assert next_due is not None
    assert abs(next_due - (T0 + 57 * DAY + THREE)) < timedelta(minutes=20)


def test_nothing_is_due_at_weekends_where_nothing_comes_then():
    updates = loads(84, weekdays_only=True)
    found = arrivals(updates)

    assert all(abs(each.came - each.due) < timedelta(minutes=40) for each in found.came)
    assert {each.came.weekday() for each in found.came} == {0, 1, 2, 3, 4}
    assert found.next_due is not None
    assert found.next_due.weekday() == 0
    # One that comes on a Saturday all the same is not late, and Monday's is still waited for.
    saturday = T0 + 82 * DAY + 10 * HOUR
    more = arrivals([*updates[: -0 or None], saturday])
    assert more.came == found.came
    assert more.next_due == pytest.approx(found.next_due, abs=timedelta(minutes=5))


@pytest.mark.parametrize("hours", [1, 6, 24, 168])
def test_every_cadence_has_its_slots(hours):
    cadence = hours * HOUR
    updates = [T0 + number * cadence for number in range(max(60, 3 * 168 // hours))]
    updates[-2] += cadence / 3

    assert arrivals(updates).came[-2:] == (
        Arrival(updates[-2] - cadence / 3, updates[-2]),
        Arrival(updates[-1], updates[-1]),
    )


def test_nights_without_loads_are_learned():
    updates = [T0 + day * DAY + hour * HOUR for day in range(60) for hour in range(8, 19)]

    found = arrivals(updates)

    assert {each.came - each.due for each in found.came[-200:]} == {timedelta(0)}
    assert found.next_due == T0 + 60 * DAY + 8 * HOUR


def test_a_new_hour_is_adopted():
    updates = [*loads(60), *(each + 60 * DAY + 5 * HOUR for each in loads(40, 2))]

    found = lateness(updates)

    assert found[updates[61]] > 4
    assert abs(found[updates[-1]]) < 0.6


def irregular(seed: int) -> Iterator[datetime]:
    chance, time = random.Random(seed), T0
    for _ in range(200):
        time += chance.expovariate(1 / 20) * HOUR
        yield time


@pytest.mark.parametrize("seed", range(5))
def test_where_there_is_no_habit_hardly_anything_is_due(seed):
    assert len(arrivals(list(irregular(seed))).came) < 20


def test_few_updates_are_no_habit():
    assert arrivals([]) == arrivals(loads(7)) == arrivals(loads(1))
    assert arrivals(loads(20)).next_due is None


@given(
    st.lists(st.floats(0.3, 60), min_size=1, max_size=80),
    st.integers(0, 80),
)
def test_what_came_before_is_judged_without_what_came_after(gaps, cut):
    updates = [T0 + sum(gaps[:n]) * HOUR for n in range(len(gaps))]
    whole, before = arrivals(updates), arrivals(updates[:cut])

    assert whole.came[: len(before.came)] == before.came
    assert all(each.came in updates[cut:] for each in whole.came[len(before.came) :])


@given(st.lists(st.floats(0.3, 60), max_size=60))
def test_a_load_is_due_after_the_one_before_it_and_early_by_half_a_cadence_at_most(gaps):
    updates = [T0 + sum(gaps[:n]) * HOUR for n in range(len(gaps))]

    for each in arrivals(updates).came:
        assert each.due - each.came <= timedelta(hours=84)
