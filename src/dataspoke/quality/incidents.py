"""Alerts as incidents of the hub. Pure."""

from dataspoke.ports.hub import Incident
from dataspoke.quality.model import Alert, AlertState, FeedbackKind

_SIGNATURE = "Found by DataSpoke."
_NOTHING_WRONG = frozenset({FeedbackKind.FALSE_POSITIVE, FeedbackKind.EXPECTED_CHANGE})


def incident_of(alert: Alert, impact: str | None = None) -> Incident:
    """Return the incident that shows an alert.

    A snoozed alert is active: it is about who is told, not about what is wrong. ``impact`` is a
    sentence on what depends on the dataset.
    """
    changed = [alert.opened_at, alert.reopened_at, None if alert.active else alert.ended_at]
    return Incident(
        id=alert.id,
        urn=alert.urn,
        check=alert.check,
        title=alert.message.removesuffix("."),
        description="\n\n".join(filter(None, [alert.message, impact, _SIGNATURE])),
        severity=alert.severity,
        active=alert.active,
        started_at=alert.observed_at,
        raised_at=alert.opened_at,
        changed_at=max(time for time in changed if time is not None),
        false_alarm=alert.feedback in _NOTHING_WRONG,
        message=_ending(alert),
    )


def _ending(alert: Alert) -> str | None:
    match alert.state, alert.feedback:
        case _, FeedbackKind.FALSE_POSITIVE:
            return "A false alarm."
        case _, FeedbackKind.EXPECTED_CHANGE:
            return "A change that is meant to stay."
        case AlertState.RESOLVED, _:
            return "The check passes again."
        case AlertState.CLOSED, _:
            return f"Closed by {alert.closed_by}." if alert.closed_by else "Closed."
        case _:
            return None
