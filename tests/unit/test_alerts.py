"""When alerts open, stay, and end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.quality.alerts import transition
from dataspoke.quality.model import Alert, AlertState, Judgement, Metric, Point, Status

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
OTHER = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.carts,PROD)"


def judgement(status: Status, time: datetime = NOW, value: float = 400) -> Judgement:
    if status is Status.WARMING_UP:
        return Judgement(Point(time, value), status, "seasonal-band")
    return Judgement(Point(time, value), status, "seasonal-band", 4100, 3700, 4500, 0.9999)


def opened(
    urn: str = URN, metric: Metric = Metric.ROW_COUNT, since: datetime | None = NOW
) -> Alert:
    alert = transition(None, urn, metric, judgement(Status.FAIL), since, NOW)
    assert alert is not None
    return alert


def test_a_failing_point_opens_an_alert_that_says_what_was_seen_and_expected() -> None:
    seen_at = NOW - timedelta(minutes=30)
    alert = transition(None, URN, Metric.ROW_COUNT, judgement(Status.FAIL, seen_at), seen_at, NOW)
    assert alert is not None
    assert alert.state is AlertState.OPEN
    assert (alert.urn, alert.metric) == (URN, Metric.ROW_COUNT)
    assert (alert.observed_at, alert.opened_at) == (seen_at, NOW)
    assert (alert.value, alert.expected, alert.low, alert.high) == (400, 4100, 3700, 4500)
    assert alert.message == "shop.orders: row_count was 400, expected 3,700–4,500."
    assert alert.ended_at is alert.acknowledged_by is alert.acknowledged_at is None


def test_an_alert_on_freshness_speaks_of_hours() -> None:
    late = Judgement(Point(NOW, 31.26), Status.FAIL, "seasonal-band", 24, 0, 25.2, 1)
    alert = transition(None, URN, Metric.FRESHNESS, late, NOW - timedelta(hours=31), NOW)
    assert alert is not None
    assert alert.message == (
        "shop.orders: last updated 31.3 hours ago, expected after 24.0 and at most 25.2 hours."
    )


@pytest.mark.parametrize("state", [AlertState.OPEN, AlertState.ACKNOWLEDGED])
def test_the_first_passing_point_resolves_it_and_keeps_the_rest(state: AlertState) -> None:
    active = replace(opened(), state=state)
    later = NOW + timedelta(days=1)
    ended = transition(active, URN, Metric.ROW_COUNT, judgement(Status.PASS, later), None, later)
    assert ended == replace(active, state=AlertState.RESOLVED, ended_at=later)


@pytest.mark.parametrize(
    ("active", "status"),
    [
        (False, Status.PASS),
        (False, Status.WARMING_UP),
        (True, Status.FAIL),
        (True, Status.WARMING_UP),
    ],
)
def test_nothing_else_changes_anything(active: bool, status: Status) -> None:
    alert = opened() if active else None
    assert transition(alert, URN, Metric.ROW_COUNT, judgement(status), NOW, NOW) is None


def test_the_same_fault_is_the_same_alert_whenever_it_is_looked_at() -> None:
    later = NOW + timedelta(hours=5)
    again = transition(None, URN, Metric.ROW_COUNT, judgement(Status.FAIL, later), NOW, later)
    assert again is not None
    assert (again.id, again.dedupe_key) == (opened().id, opened().dedupe_key)


def test_another_dataset_metric_or_fault_is_another_alert() -> None:
    alerts = [
        opened(),
        opened(urn=OTHER),
        opened(metric=Metric.FRESHNESS),
        opened(since=NOW - timedelta(days=1)),
    ]
    assert len({alert.id for alert in alerts}) == len({a.dedupe_key for a in alerts}) == 4


def test_without_a_beginning_the_fault_begins_at_the_point() -> None:
    assert opened(since=None).id == opened(since=NOW).id


@given(st.lists(st.sampled_from(Status), max_size=40))
def test_over_any_run_of_verdicts_alerts_open_and_end_in_turn(statuses: list[Status]) -> None:
    active: Alert | None = None
    changes = []
    for day, status in enumerate(statuses):
        when = NOW + timedelta(days=day)
        moved = transition(active, URN, Metric.ROW_COUNT, judgement(status, when), None, when)
        if moved is not None:
            changes.append(moved.state)
            active = None if moved.state is AlertState.RESOLVED else moved
    assert changes == [AlertState.OPEN, AlertState.RESOLVED] * (len(changes) // 2) + [
        AlertState.OPEN
    ] * (len(changes) % 2)
    # The last verdict that is one decides.
    judged = [status for status in statuses if status is not Status.WARMING_UP]
    assert (active is not None) == (judged[-1:] == [Status.FAIL])
