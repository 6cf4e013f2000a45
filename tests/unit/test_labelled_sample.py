"""The rule by which the benchmark lets alerts meet labels."""

from datetime import UTC, datetime, timedelta

import pytest

from bench.labelled_sample import alerts, tally
from dataspoke.localhub.sample import FaultKind, Label
from dataspoke.quality.model import Judgement, Metric, Point, Status

START = datetime(2026, 9, 1, 7, 30, tzinfo=UTC)
DAY = timedelta(days=1)
URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"


def label(first: int, last: int) -> Label:
    return Label(URN, "row_count", FaultKind.DROP, START + first * DAY, START + last * DAY)


def judged(verdicts: str) -> list[Judgement]:
    """A day for each letter: w for warming up, p for a pass, f for a failure."""
    statuses = {"w": Status.WARMING_UP, "p": Status.PASS, "f": Status.FAIL}
    return [
        Judgement(Point(START + day * DAY, 1.0), statuses[letter], "made up")
        for day, letter in enumerate(verdicts)
    ]


@pytest.mark.parametrize(
    ("verdicts", "labels", "detected", "inside", "false"),
    [
        ("wwpppp", [label(3, 4)], 0, 0, 0),
        ("wwpffp", [label(3, 4)], 1, 1, 0),
        ("wwfppp", [label(3, 4)], 0, 0, 1),  # a day early
        ("pppppf", [label(3, 4)], 1, 1, 0),  # one scan interval late
        ("ppppppf", [label(3, 4)], 0, 0, 1),  # two
        ("ppfpfp", [label(2, 4)], 1, 2, 0),  # twice in one: once right, never wrong
        ("pfpppf", [label(1, 1), label(5, 5)], 2, 2, 0),
        # It was open before the fault began: nobody was told of the fault.
        ("pfffpp", [label(2, 3)], 0, 0, 1),
        ("ppfp", [], 0, 0, 1),
    ],
)
def test_an_alert_meets_a_label_or_is_false(
    verdicts: str, labels: list[Label], detected: int, inside: int, false: int
) -> None:
    counted = tally(alerts(URN, Metric.ROW_COUNT, judged(verdicts)), labels)
    found = (counted.detected.total(), counted.inside, counted.false)
    assert found == (detected, inside, false)
    assert counted.labels.total() == len(labels)


def test_an_alert_about_a_table_out_of_use_is_counted_apart() -> None:
    raised = alerts(URN, Metric.FRESHNESS, judged("pfpf"))
    counted = tally(raised, [], START + 2 * DAY)
    assert (counted.false, counted.retired) == (1, 1)


def test_the_figures_follow_from_the_counts() -> None:
    raised = alerts(URN, Metric.ROW_COUNT, judged("pfpfpfpp"))
    counted = tally(raised, [label(1, 1), label(7, 7)])
    assert (counted.precision, counted.recall, counted.f1) == (pytest.approx(1 / 3), 0.5, 0.4)
    assert counted.alerts_per_cause == 1
