from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.errors import (
    Conflict,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
    Forbidden,
    InvalidInput,
    NotFound,
)
from dataspoke.workers.retries import most_tries, next_try

HUB_DOWN = DependencyUnavailable("hub", "down")
TOO_SLOW = DependencyTimeout("compute", "too slow")


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("no"),
        Forbidden("no"),
        NotFound("no"),
        DependencyRejected("hub", "no"),
    ],
)
def test_what_repeating_cannot_help_is_given_up_at_once(error: Exception) -> None:
    assert next_try(error, attempt=1, max_attempts=4, jitter=0.5) is None


@pytest.mark.parametrize("error", [ValueError("a bug"), Conflict("moved"), TOO_SLOW])
def test_the_last_of_the_tries_is_the_last(error: Exception) -> None:
    assert next_try(error, attempt=3, max_attempts=4, jitter=0.5) is not None
    assert next_try(error, attempt=4, max_attempts=4, jitter=0.5) is None


def test_an_outage_is_borne_for_half_an_hour_and_more() -> None:
    waits = []
    attempt = 1
    while (wait := next_try(HUB_DOWN, attempt, max_attempts=4, jitter=0.0)) is not None:
        waits.append(wait)
        attempt += 1
    assert attempt == most_tries(HUB_DOWN, 4) == 20
    assert timedelta(minutes=20) < sum(waits, timedelta(0)) < timedelta(hours=1)
    assert waits == sorted(waits)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_double_and_stay_within_bounds(attempt: int, jitter: float) -> None:
    wait = next_try(ValueError(), attempt, max_attempts=100_000, jitter=jitter)
    assert wait is not None
    whole = min(0.5 * 2 ** min(attempt - 1, 50), 300)
    assert whole / 2 - 1e-6 <= wait.total_seconds() <= whole + 1e-6


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (timedelta(seconds=30), timedelta(seconds=30)),
        (timedelta(days=1), timedelta(hours=1)),
        # Sooner than it would be tried again anyway.
        (timedelta(0), timedelta(seconds=1)),
    ],
)
def test_a_dependency_that_asks_for_time_gets_it(asked: timedelta, waited: timedelta) -> None:
    error = DependencyUnavailable("notifier", "too many requests", retry_after=asked)
    assert next_try(error, attempt=2, max_attempts=4, jitter=1.0) == waited
