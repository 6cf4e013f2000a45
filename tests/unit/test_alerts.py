"""When alerts open, move and end, and what explains them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.errors import Conflict, InvalidInput
from dataspoke.quality.alerts import (
    FLAP_DAMPING,
    acknowledge,
    assess,
    close,
    explain,
    snooze,
    transition,
    wake,
)
from dataspoke.quality.model import (
    ACTIVE,
    Alert,
    AlertState,
    Check,
    FeedbackKind,
    Judgement,
    Metric,
    Point,
    Severity,
    Status,
)

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
DAY = timedelta(days=1)
URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
OTHER = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.carts,PROD)"
ROWS, FRESHNESS = Check(Metric.ROW_COUNT), Check(Metric.FRESHNESS)
SOMEONE = "urn:li:corpuser:editor"
NO_VERDICT = (Status.WARMING_UP, Status.ERROR)


def judgement(status: Status, time: datetime = NOW, value: float = 400) -> Judgement:
    if status in NO_VERDICT:
        return Judgement(Point(time, value), status, "seasonal-band")
    return Judgement(Point(time, value), status, "seasonal-band", 4100, 3700, 4500, 0.9999)


def opened(
    urn: str = URN, check: Check = ROWS, since: datetime | None = NOW, at: datetime = NOW
) -> Alert:
    alert = transition(None, urn, check, judgement(Status.FAIL, at), since, at)
    assert alert is not None
    return alert


def test_a_failing_point_opens_an_alert_that_says_what_was_seen_and_expected() -> None:
    seen_at = NOW - timedelta(minutes=30)
    alert = transition(None, URN, ROWS, judgement(Status.FAIL, seen_at), seen_at, NOW)
    assert alert is not None
    assert (alert.state, alert.severity) == (AlertState.OPEN, Severity.ERROR)
    assert (alert.urn, alert.check) == (URN, ROWS)
    assert (alert.observed_at, alert.opened_at) == (seen_at, NOW)
    assert (alert.value, alert.expected, alert.low, alert.high) == (400, 4100, 3700, 4500)
    assert alert.message == "shop.orders: row count was 400 rows, expected 3,700–4,500 rows."
    assert alert.ended_at is alert.acknowledged_by is alert.acknowledged_at is None


@pytest.mark.parametrize(
    ("check", "value", "low", "high", "message"),
    [
        (
            Check(Metric.FRESHNESS),
            31.26,
            0,
            25.2,
            "shop.orders: last updated 31.3 hours ago, expected after 24.0 and at most 25.2 hours.",
        ),
        (
            Check(Metric.NULL_SHARE, "email"),
            0.342,
            0,
            0.02,
            "shop.orders.email: null share was 34.2%, expected 0.0%–2.0%.",
        ),
        (
            Check(Metric.MEAN, "total"),
            12.5,
            20,
            30.25,
            "shop.orders.total: mean was 12.5, expected 20–30.25.",
        ),
    ],
)
def test_a_message_speaks_the_unit_of_its_check(
    check: Check, value: float, low: float, high: float, message: str
) -> None:
    found = Judgement(Point(NOW, value), Status.FAIL, "seasonal-band", 24, low, high, 1)
    alert = transition(None, URN, check, found, NOW, NOW)
    assert alert is not None
    assert alert.message == message


def test_a_rule_says_in_its_own_words_what_it_found() -> None:
    found = Judgement(Point(NOW, 3), Status.WARN, "rule", detail="3 orders have no customer.")
    alert = transition(None, URN, Check(rule=UUID(int=1)), found, NOW, NOW, Severity.WARN)
    assert alert is not None
    assert (alert.message, alert.severity) == (
        "shop.orders: 3 orders have no customer.",
        Severity.WARN,
    )


@pytest.mark.parametrize("state", ACTIVE)
def test_the_first_passing_point_resolves_it_and_keeps_the_rest(state: AlertState) -> None:
    active = replace(opened(), state=state)
    later = NOW + DAY
    ended = transition(active, URN, ROWS, judgement(Status.PASS, later), None, later)
    assert ended == replace(active, state=AlertState.RESOLVED, ended_at=later)


@pytest.mark.parametrize(
    ("active", "status"),
    [
        (False, Status.PASS),
        *((False, status) for status in NO_VERDICT),
        (True, Status.FAIL),
        (True, Status.WARN),
        *((True, status) for status in NO_VERDICT),
    ],
)
def test_nothing_else_changes_anything(active: bool, status: Status) -> None:
    alert = opened() if active else None
    assert transition(alert, URN, ROWS, judgement(status), NOW, NOW) is None


def test_the_same_fault_is_the_same_alert_whenever_it_is_looked_at() -> None:
    later = NOW + timedelta(hours=5)
    again = transition(None, URN, ROWS, judgement(Status.FAIL, later), NOW, later)
    assert again is not None
    assert (again.id, again.dedupe_key) == (opened().id, opened().dedupe_key)


def test_another_dataset_check_or_fault_is_another_alert() -> None:
    alerts = [
        opened(),
        opened(urn=OTHER),
        opened(check=FRESHNESS),
        opened(check=Check(Metric.NULL_SHARE, "a")),
        opened(check=Check(Metric.NULL_SHARE, "b")),
        opened(since=NOW - DAY),
    ]
    assert len({alert.id for alert in alerts}) == len({a.dedupe_key for a in alerts}) == 6


def test_without_a_beginning_the_fault_begins_at_the_point() -> None:
    assert opened(since=None).id == opened(since=NOW).id


def run(statuses: list[Status], every: timedelta) -> list[Alert]:
    """Return every change of a check's alerts over verdicts that far apart."""
    latest: Alert | None = None
    changes: list[Alert] = []
    for number, status in enumerate(statuses):
        when = NOW + number * every
        moved = transition(latest, URN, ROWS, judgement(status, when), None, when)
        if moved is not None:
            changes.append(moved)
            latest = moved
    return changes


@given(st.lists(st.sampled_from(Status), max_size=40))
def test_verdicts_far_apart_open_and_end_alerts_in_turn(statuses: list[Status]) -> None:
    changes = run(statuses, FLAP_DAMPING + DAY)
    states = [alert.state for alert in changes]
    assert states == ([AlertState.OPEN, AlertState.RESOLVED] * len(states))[: len(states)]
    assert not any(alert.reopened for alert in changes)
    # The last verdict that is one decides.
    judged = [status for status in statuses if status not in NO_VERDICT]
    failing = judged[-1:] in ([Status.FAIL], [Status.WARN])
    assert (states[-1:] == [AlertState.OPEN]) == failing


@given(st.lists(st.sampled_from([Status.PASS, Status.FAIL]), min_size=1, max_size=48))
def test_a_check_that_comes_and_goes_for_two_days_changes_its_alert_five_times_at_most(
    statuses: list[Status],
) -> None:
    changes = run(statuses, timedelta(hours=1))
    assert len({alert.id for alert in changes}) <= 1
    # Opened, resolved, back, resolved, back for good.
    assert len(changes) <= 5


def test_a_flapping_check_resolves_once_it_has_passed_for_long() -> None:
    statuses = [Status.FAIL, Status.PASS] * 5 + [Status.PASS] * 60
    changes = run(statuses, timedelta(hours=1))
    assert [(a.state, a.reopened) for a in changes] == [
        (AlertState.OPEN, 0),
        (AlertState.RESOLVED, 0),
        (AlertState.OPEN, 1),
        (AlertState.RESOLVED, 1),
        (AlertState.OPEN, 2),
        (AlertState.RESOLVED, 2),
    ]
    assert changes[-1].ended_at == NOW + timedelta(hours=4) + FLAP_DAMPING


def test_what_a_person_closed_stays_closed_for_its_fault_and_opens_for_the_next() -> None:
    closed = close(opened(), SOMEONE, NOW + DAY)
    still = judgement(Status.FAIL, NOW + 2 * DAY)
    assert transition(closed, URN, ROWS, still, NOW, NOW + 2 * DAY) is None
    later = NOW + 5 * DAY
    anew = transition(closed, URN, ROWS, judgement(Status.FAIL, later), later, later)
    assert anew is not None
    assert anew.id != closed.id


def test_acknowledging_is_once_and_for_the_active() -> None:
    taken = acknowledge(opened(), SOMEONE, NOW)
    assert (taken.state, taken.acknowledged_by, taken.acknowledged_at) == (
        AlertState.ACKNOWLEDGED,
        SOMEONE,
        NOW,
    )
    assert acknowledge(taken, SOMEONE, NOW + DAY) is taken
    with pytest.raises(Conflict, match="acknowledged already"):
        acknowledge(taken, "urn:li:corpuser:other", NOW)


@pytest.mark.parametrize("ended", [AlertState.RESOLVED, AlertState.CLOSED])
def test_what_has_ended_cannot_be_changed(ended: AlertState) -> None:
    alert = replace(opened(), state=ended)
    for change in (acknowledge, close):
        with pytest.raises(Conflict, match=f"{ended.lower()} already"):
            change(alert, SOMEONE, NOW)
    with pytest.raises(Conflict, match=f"{ended.lower()} already"):
        snooze(alert, NOW + DAY, NOW)


@pytest.mark.parametrize("days", [-1, 0, 91])
def test_a_snooze_ends_in_the_next_ninety_days(days: int) -> None:
    with pytest.raises(InvalidInput, match="at most 90 days"):
        snooze(opened(), NOW + days * DAY, NOW)


def test_a_snooze_is_over_at_its_time_and_not_before() -> None:
    snoozed = snooze(opened(), NOW + DAY, NOW)
    assert wake(snoozed, NOW + DAY - timedelta(seconds=1)) is None
    woken = wake(snoozed, NOW + DAY)
    assert woken == opened()
    assert wake(opened(), NOW + DAY) is None
    failing = judgement(Status.FAIL, NOW + DAY)
    assert transition(snoozed, URN, ROWS, failing, NOW, NOW + DAY) == woken


@pytest.mark.parametrize("kind", FeedbackKind)
def test_what_was_no_fault_is_closed_by_saying_so(kind: FeedbackKind) -> None:
    said = assess(opened(), kind, SOMEONE, NOW + DAY)
    assert said.feedback is kind
    assert said.active == (kind is FeedbackKind.REAL)
    ended = replace(opened(), state=AlertState.RESOLVED, ended_at=NOW)
    assert assess(ended, kind, SOMEONE, NOW + DAY) == replace(ended, feedback=kind)


def on(name: str, hour: int = 0, metric: Metric = Metric.ROW_COUNT) -> Alert:
    urn = f"urn:li:dataset:(urn:li:dataPlatform:postgres,{name},PROD)"
    return opened(urn, Check(metric), None, NOW + timedelta(hours=hour))


def above(**names: str) -> dict[str, frozenset[str]]:
    """Return the datasets upstream of each, all named by letters."""
    return {on(name).urn: frozenset(on(each).urn for each in its) for name, its in names.items()}


def test_a_fault_upstream_explains_those_below_it_whichever_was_seen_first() -> None:
    a, b, c = on("a", 3), on("b", 1), on("c", 0)
    causes = explain([c, b, a], above(b="a", c="ab"))
    assert causes == {a.id: None, b.id: a.id, c.id: a.id}


def test_what_lies_too_far_back_ended_or_elsewhere_explains_nothing() -> None:
    old, ended = on("a", -40), replace(on("b"), state=AlertState.RESOLVED)
    queries, other, victim = on("q", 0, Metric.QUERY_COUNT), on("x"), on("z")
    causes = explain([old, ended, queries, other, victim], above(z="abq"))
    assert causes == {old.id: None, queries.id: None, other.id: None, victim.id: None}


def test_of_one_dataset_the_first_to_fail_explains_the_others() -> None:
    size, rows, mean = (on("a", 2, m) for m in (Metric.SIZE, Metric.ROW_COUNT, Metric.MEAN))
    late, other = on("a", 1, Metric.FRESHNESS), on("b", 1)
    assert explain([size, mean, rows], {}) == {rows.id: None, size.id: rows.id, mean.id: rows.id}
    causes = explain([size, rows, late, other], above(a="b"))
    assert causes == {other.id: None, **dict.fromkeys((late.id, rows.id, size.id), other.id)}


def test_in_a_circle_the_earliest_is_the_cause() -> None:
    a, b = on("a", 1), on("b", 0)
    assert explain([a, b], above(a="b", b="a")) == {b.id: None, a.id: b.id}


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 60), st.sampled_from(Metric)),
        max_size=14,
    ),
    st.dictionaries(st.sampled_from("abcdef"), st.text("abcdef", max_size=4)),
)
def test_a_cause_stands_for_itself_in_any_lineage(
    seen: list[tuple[str, int, Metric]], lineage: dict[str, str]
) -> None:
    # The closure, as the service reads it.
    reach = {name: set(its) for name, its in lineage.items()}
    for _ in range(6):
        for name in reach:
            reach[name] |= {more for each in reach[name] for more in reach.get(each, ())}
    alerts = list({a.id: a for a in (on(*each) for each in seen)}.values())
    upstream = above(**{name: "".join(its - {name}) for name, its in reach.items()})
    causes = explain(alerts, upstream)
    assert set(causes) == {alert.id for alert in alerts}
    for cause in causes.values():
        assert cause is None or causes[cause] is None
