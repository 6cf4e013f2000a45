"""When a verdict opens an alert, and when it ends one."""

from dataclasses import replace
from datetime import datetime

from dataspoke.quality.model import Alert, AlertState, Judgement, Metric, Status
from dataspoke.urns import dataset_name, deterministic_id


def transition(
    active: Alert | None,
    urn: str,
    metric: Metric,
    judgement: Judgement,
    failing_since: datetime | None,
    now: datetime,
) -> Alert | None:
    """Return the alert to save after the newest judgement on a metric, None where nothing changes.

    An alert opens where the newest point fails and none is active, whatever failed before it: the
    past of a first scan or of a back-fill raises none. It stays as it is while points fail, and is
    resolved by the first that passes. WARMING_UP neither opens nor ends one. ``failing_since``
    names the fault; the same fault always makes the same id and dedupe key.
    """
    if judgement.status is Status.PASS:
        if active is None:
            return None
        return replace(active, state=AlertState.RESOLVED, resolved_at=now)
    if judgement.status is not Status.FAIL or active is not None:
        return None
    found = (judgement.expected, judgement.low, judgement.high, judgement.score)
    expected, low, high, score = (0.0 if number is None else number for number in found)
    since = judgement.point.time if failing_since is None else failing_since
    key = str(deterministic_id("alert", urn, metric, since.isoformat()))
    return Alert(
        id=deterministic_id("alert", urn, metric, since.isoformat()),
        urn=urn,
        metric=metric,
        state=AlertState.OPEN,
        dedupe_key=key,
        opened_at=now,
        observed_at=judgement.point.time,
        value=judgement.point.value,
        expected=expected,
        low=low,
        high=high,
        score=score,
        message=_message(urn, metric, judgement.point.value, expected, low, high),
    )


def _message(
    urn: str, metric: Metric, value: float, expected: float, low: float, high: float
) -> str:
    name = dataset_name(urn)
    if metric is Metric.FRESHNESS:
        return (
            f"{name}: last updated {value:,.1f} hours ago, "
            f"expected after {expected:,.1f} and at most {high:,.1f} hours."
        )
    return f"{name}: {metric} was {value:,.0f}, expected {low:,.0f}–{high:,.0f}."
