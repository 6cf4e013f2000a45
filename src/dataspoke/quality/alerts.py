"""The life of an alert: what opens, moves and ends it, and which of two explains the other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from dataspoke.errors import Conflict, InvalidInput
from dataspoke.quality.model import (
    Alert,
    AlertState,
    Check,
    FeedbackKind,
    Judgement,
    Metric,
    Severity,
    Status,
)
from dataspoke.urns import dataset_name, deterministic_id

FLAP_DAMPING = timedelta(hours=48)
"""A check that fails again within this time after it resolved reopens its alert. From its second
return on, the alert stays open for as long, so that a check that comes and goes is told of once."""

LONGEST_SNOOZE = timedelta(days=90)

_FLAPS = 2
# An upstream fault and what it breaks are seen within a day of each other, each by its own load.
_ONE_CAUSE = timedelta(hours=36)

# Of alerts observed at the same moment the former is the cause of the latter.
_CAUSES_FIRST = (
    Metric.FRESHNESS,
    Metric.LATE_ARRIVAL,
    Metric.COLUMN_COUNT,
    Metric.ROW_COUNT,
    Metric.SIZE,
)

_UNITS: Mapping[Metric, str] = {
    Metric.ROW_COUNT: "{:,.0f} rows",
    Metric.COLUMN_COUNT: "{:,.0f} columns",
    Metric.SIZE: "{:,.0f} bytes",
    Metric.NULL_SHARE: "{:.1%}",
    Metric.UNIQUE_SHARE: "{:.1%}",
    Metric.FRESHNESS: "{:,.1f} hours",
    Metric.LATE_ARRIVAL: "{:,.1f} hours",
    Metric.QUERY_COUNT: "{:,.0f} queries",
}
_ANY_UNIT = "{:,.6g}"


def transition(
    latest: Alert | None,
    urn: str,
    check: Check,
    judgement: Judgement,
    failing_since: datetime | None,
    now: datetime,
    severity: Severity = Severity.ERROR,
) -> Alert | None:
    """Return the alert to save after the newest judgement of a check, None where nothing changes.

    ``latest`` is the check's newest alert, whatever its state. One opens where the newest point
    fails and none is active, whatever failed before it: the past of a first scan or of a back-fill
    raises none. It stays as it is while points fail, and resolves at the first that passes.
    WARMING_UP and ERROR neither open nor end one. ``failing_since`` names the fault: the same fault
    makes the same id and dedupe key, and one that a person closed is not opened again. A snoozed
    alert whose time is over opens. For what comes and goes see FLAP_DAMPING.
    """
    active = latest is not None and latest.active
    if judgement.status is Status.PASS:
        if latest is None or not active or _flapping(latest, now):
            return None
        return resolve(latest, now)
    if judgement.status not in (Status.FAIL, Status.WARN):
        return None
    since = judgement.point.time if failing_since is None else failing_since
    if latest is not None:
        if active:
            return wake(latest, now)
        ended = latest.ended_at or latest.opened_at
        if latest.state is AlertState.CLOSED and since <= ended:
            return None
        if latest.state is AlertState.RESOLVED and now - ended < FLAP_DAMPING:
            return replace(
                latest,
                state=AlertState.OPEN,
                ended_at=None,
                acknowledged_by=None,
                acknowledged_at=None,
                reopened=latest.reopened + 1,
                reopened_at=now,
            )
    identity = deterministic_id("alert", urn, check.key, since.isoformat())
    return Alert(
        id=identity,
        urn=urn,
        check=check,
        state=AlertState.OPEN,
        dedupe_key=str(identity),
        opened_at=now,
        observed_at=judgement.point.time,
        value=judgement.point.value,
        message=message(urn, check, judgement),
        severity=severity,
        expected=judgement.expected,
        low=judgement.low,
        high=judgement.high,
        score=judgement.score,
    )


def _flapping(alert: Alert, now: datetime) -> bool:
    if alert.reopened < _FLAPS or alert.reopened_at is None:
        return False
    return now - alert.reopened_at < FLAP_DAMPING


def resolve(alert: Alert, now: datetime) -> Alert:
    """Return an active alert, ended by itself."""
    return replace(alert, state=AlertState.RESOLVED, ended_at=now, snoozed_until=None)


def told_by_freshness(latest: Mapping[Check, Alert], now: datetime) -> bool:
    """Tell whether a dataset's alert on freshness is, or was just now, about the same load.

    ``latest`` holds the newest alert of each of its checks. A load that stays away is told of by
    its age; that it came late, once it is there, is no more news.
    """
    alert = latest.get(Check(Metric.FRESHNESS))
    if alert is None:
        return False
    return alert.active or now - (alert.ended_at or alert.opened_at) <= _ONE_CAUSE


def acknowledge(alert: Alert, by: str, now: datetime) -> Alert:
    """Return the alert taken up by somebody; raises Conflict where that cannot be any more.

    It is returned as it is where the same person has taken it up already.
    """
    if alert.state is AlertState.ACKNOWLEDGED and alert.acknowledged_by == by:
        return alert
    if alert.state is AlertState.ACKNOWLEDGED or not alert.active:
        raise Conflict(f"Alert {alert.id} is {alert.state.lower()} already.")
    return replace(
        alert,
        state=AlertState.ACKNOWLEDGED,
        acknowledged_by=by,
        acknowledged_at=now,
        snoozed_until=None,
    )


def snooze(alert: Alert, until: datetime, now: datetime) -> Alert:
    """Return the alert, quiet until that time.

    Raises InvalidInput for a time that has passed or is more than ninety days ahead, and Conflict
    where the alert has ended.
    """
    if not now < until <= now + LONGEST_SNOOZE:
        raise InvalidInput(
            f"until is {until.isoformat()}; give a time from now on, at most "
            f"{LONGEST_SNOOZE.days} days ahead."
        )
    if not alert.active:
        raise Conflict(f"Alert {alert.id} is {alert.state.lower()} already.")
    return replace(alert, state=AlertState.SNOOZED, snoozed_until=until)


def wake(alert: Alert, now: datetime) -> Alert | None:
    """Return a snoozed alert whose time is over, open again; None for any other."""
    if alert.state is not AlertState.SNOOZED:
        return None
    if alert.snoozed_until is not None and now < alert.snoozed_until:
        return None
    return replace(alert, state=AlertState.OPEN, snoozed_until=None)


def close(alert: Alert, by: str, now: datetime) -> Alert:
    """Return the alert, ended by somebody; the fault it is about opens no other.

    Raises Conflict where it has ended.
    """
    if not alert.active:
        raise Conflict(f"Alert {alert.id} is {alert.state.lower()} already.")
    return replace(alert, state=AlertState.CLOSED, closed_by=by, ended_at=now, snoozed_until=None)


def assess(alert: Alert, kind: FeedbackKind, by: str, now: datetime) -> Alert:
    """Return the alert with what somebody says of it; what is no fault is closed by that."""
    assessed = replace(alert, feedback=kind)
    if kind is FeedbackKind.REAL or not alert.active:
        return assessed
    return close(assessed, by, now)


def explain(
    alerts: Sequence[Alert], upstream: Mapping[str, frozenset[str]]
) -> Mapping[UUID, UUID | None]:
    """Return for each active alert the one that explains it, None where it stands for itself.

    ``upstream`` holds for each dataset all those that it is made from, near and far. What explains
    an alert is an active one observed within a day and a half of it: the earliest upstream, else
    the earliest on the same dataset, as a load that breaks off moves sizes, means and shares along
    with the rows. It is never explained itself, so that all victims of one fault name the same
    cause. Where lineage runs in a circle the earliest alert is the cause. Alerts on how often a
    dataset is queried explain nothing and need no explanation.
    """
    active = sorted((a for a in alerts if a.active), key=_order)
    causes: dict[UUID, UUID | None] = {}
    for place, alert in enumerate(active):
        above = upstream.get(alert.urn, frozenset()) - {alert.urn}
        at_first = [
            other
            for order, other in enumerate(active)
            if other.urn in above
            and (order < place or alert.urn not in upstream.get(other.urn, frozenset()))
        ]
        beside = [other for other in active[:place] if other.urn == alert.urn]
        causes[alert.id] = next(
            (other.id for other in [*at_first, *beside] if _may_explain(other, alert)), None
        )
    return {alert: _root(alert, causes) for alert in causes}


def _order(alert: Alert) -> tuple[datetime, int, datetime, UUID]:
    """Return the place of an alert among those that may explain each other, the cause first."""
    metric = alert.check.metric
    rank = _CAUSES_FIRST.index(metric) if metric in _CAUSES_FIRST else len(_CAUSES_FIRST)
    return alert.observed_at, rank, alert.opened_at, alert.id


def _may_explain(other: Alert, alert: Alert) -> bool:
    if Metric.QUERY_COUNT in (other.check.metric, alert.check.metric):
        return False
    return abs(other.observed_at - alert.observed_at) <= _ONE_CAUSE


def _root(alert: UUID, causes: Mapping[UUID, UUID | None]) -> UUID | None:
    seen = {alert}
    cause = causes[alert]
    while cause is not None and causes.get(cause) is not None and cause not in seen:
        seen.add(cause)
        cause = causes[cause]
    return None if cause == alert else cause


def message(urn: str, check: Check, judgement: Judgement) -> str:
    """Return what happened, in a sentence."""
    name = dataset_name(urn) if check.column is None else f"{dataset_name(urn)}.{check.column}"
    if judgement.detail is not None:
        return f"{name}: {judgement.detail}"
    metric = Metric.ROW_COUNT if check.metric is None else check.metric
    unit = _UNITS.get(metric, _ANY_UNIT)
    value = unit.format(judgement.point.value)
    low, high, expected = judgement.low, judgement.high, judgement.expected
    if metric is Metric.FRESHNESS and high is not None and expected is not None:
        return (
            f"{name}: last updated {value} ago, expected after {expected:,.1f} and at most "
            f"{unit.format(high)}."
        )
    label = metric.replace("_", " ")
    if low is None or high is None:
        return f"{name}: {label} was {value}."
    number = unit.partition("}")[0] + "}"
    return f"{name}: {label} was {value}, expected {number.format(low)}–{unit.format(high)}."
