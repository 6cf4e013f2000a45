"""Which incident shows an alert, through its whole life."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from dataspoke.quality.incidents import incident_of
from dataspoke.quality.model import Alert, AlertState, Check, FeedbackKind, Metric, Severity

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALERT = Alert(
    id=UUID(int=1),
    urn="urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)",
    check=Check(Metric.ROW_COUNT),
    state=AlertState.OPEN,
    dedupe_key="k",
    opened_at=T0 + HOUR,
    observed_at=T0,
    value=5.0,
    message="shop.orders: row count was 5 rows, expected 80–120 rows.",
    severity=Severity.WARN,
)


def test_an_open_alert_is_an_active_incident_since_the_fault_was_seen():
    incident = incident_of(ALERT, "Three datasets are made from it.")

    assert incident.id == ALERT.id
    assert (incident.urn, incident.check) == (ALERT.urn, ALERT.check)
    assert incident.title == "shop.orders: row count was 5 rows, expected 80–120 rows"
    assert incident.description.split("\n\n") == [
        ALERT.message,
        "Three datasets are made from it.",
        "Found by DataSpoke.",
    ]
    assert incident.severity is Severity.WARN
    assert incident.active
    assert (incident.started_at, incident.raised_at, incident.changed_at) == (
        T0,
        T0 + HOUR,
        T0 + HOUR,
    )
    assert incident.message is None


def test_what_people_do_about_an_alert_does_not_end_its_incident():
    for state in (AlertState.ACKNOWLEDGED, AlertState.SNOOZED):
        taken_up = replace(ALERT, state=state, acknowledged_at=T0 + 2 * HOUR)
        assert incident_of(taken_up) == incident_of(ALERT)


def test_an_alert_that_ends_resolves_its_incident_and_says_how():
    ended = replace(ALERT, state=AlertState.RESOLVED, ended_at=T0 + 9 * HOUR)
    closed = replace(ended, state=AlertState.CLOSED, closed_by="urn:li:corpuser:ada")

    assert not incident_of(ended).active
    assert incident_of(ended).changed_at == T0 + 9 * HOUR
    assert incident_of(ended).message == "The check passes again."
    assert incident_of(closed).message == "Closed by urn:li:corpuser:ada."
    assert not incident_of(closed).false_alarm
    wrong = incident_of(replace(closed, feedback=FeedbackKind.FALSE_POSITIVE))
    meant = incident_of(replace(closed, feedback=FeedbackKind.EXPECTED_CHANGE))
    assert wrong.false_alarm
    assert meant.false_alarm
    assert wrong.message != meant.message
    assert not incident_of(replace(closed, feedback=FeedbackKind.REAL)).false_alarm


def test_an_alert_that_comes_back_raises_its_incident_anew():
    back = replace(ALERT, reopened=1, reopened_at=T0 + 20 * HOUR)

    assert incident_of(back).active
    assert incident_of(back).changed_at == T0 + 20 * HOUR
