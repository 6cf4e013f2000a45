"""The quality score of a dataset."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.quality.model import (
    Check,
    Dimension,
    Judgement,
    Metric,
    Point,
    Result,
    Status,
)
from dataspoke.quality.scoring import EQUAL, dimension_of, summarise

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ACHIEVED = {Status.PASS: 1.0, Status.WARN: 0.5, Status.FAIL: 0.0}


def result(dimension: Dimension | None, status: Status, number: int = 0) -> Result:
    judgement = Judgement(Point(NOW, 1.0), status, "rule")
    return Result("a", Check(rule=UUID(int=number)), judgement, NOW, dimension)


def test_a_dimension_is_the_mean_of_its_checks_and_the_score_that_of_the_dimensions() -> None:
    quality = summarise(
        "a",
        [
            result(Dimension.VOLUME, Status.PASS),
            result(Dimension.VALIDITY, Status.PASS, 1),
            result(Dimension.VALIDITY, Status.WARN, 2),
            result(Dimension.VALIDITY, Status.FAIL, 3),
        ],
        NOW,
    )
    assert [(d.dimension, d.status, d.score) for d in quality.dimensions] == [
        (Dimension.VOLUME, Status.PASS, 100),
        (Dimension.VALIDITY, Status.FAIL, 50),
    ]
    assert (quality.status, quality.score) == (Status.FAIL, 75)


def test_weights_decide_how_much_a_dimension_counts() -> None:
    found = [result(Dimension.VOLUME, Status.PASS), result(Dimension.FRESHNESS, Status.FAIL, 1)]
    weights = {Dimension.VOLUME: 3.0, Dimension.FRESHNESS: 1.0}
    assert summarise("a", found, NOW, weights).score == 75
    assert summarise("a", found, NOW, {Dimension.FRESHNESS: 0.0}).score == 100
    nothing = dict.fromkeys(Dimension, 0.0)
    assert summarise("a", found, NOW, nothing).score is None


@pytest.mark.parametrize("status", [Status.WARMING_UP, Status.ERROR])
def test_no_evidence_is_not_zero(status: Status) -> None:
    quality = summarise("a", [result(Dimension.VOLUME, status)], NOW)
    assert (quality.status, quality.score, quality.dimensions) == (Status.WARMING_UP, None, ())
    both = summarise(
        "a", [result(Dimension.VOLUME, status), result(Dimension.VALIDITY, Status.WARN, 1)], NOW
    )
    assert (both.status, both.score) == (Status.WARN, 50)
    assert len(both.results) == 2


def test_how_often_a_dataset_is_queried_moves_its_status_and_not_its_score() -> None:
    assert dimension_of(Metric.QUERY_COUNT) is dimension_of(None) is None
    assert all(dimension_of(metric) for metric in Metric if metric is not Metric.QUERY_COUNT)
    quality = summarise("a", [result(None, Status.FAIL)], NOW)
    assert (quality.status, quality.score) == (Status.FAIL, None)


@given(
    st.lists(st.tuples(st.sampled_from(Dimension), st.sampled_from(Status)), max_size=30),
    st.dictionaries(st.sampled_from(Dimension), st.floats(0, 10)),
)
def test_the_score_lies_between_its_dimensions_and_never_falls_when_a_check_gets_better(
    checks: list[tuple[Dimension, Status]], weights: dict[Dimension, float]
) -> None:
    found = [result(dimension, status, n) for n, (dimension, status) in enumerate(checks)]
    quality = summarise("a", found, NOW, weights)
    if quality.score is not None:
        scores = [d.score for d in quality.dimensions]
        assert min(scores) - 1e-9 <= quality.score <= max(scores) + 1e-9
    for n, (dimension, status) in enumerate(checks):
        if ACHIEVED.get(status, 1) < 1:
            better = [*found]
            better[n] = result(dimension, Status.PASS, n)
            mended = summarise("a", better, NOW, weights)
            assert (mended.score or 0) >= (quality.score or 0) - 1e-9


def test_all_dimensions_count_the_same_where_nobody_says_otherwise() -> None:
    assert set(EQUAL.values()) == {1.0}
    assert set(EQUAL) == set(Dimension)
