"""What is amiss with datasets just now, of what somebody may know."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from dataspoke.knowledge.verifier.judging import Trouble
from dataspoke.knowledge.verifier.model import Code
from dataspoke.ports.hub import Access, OpenIncident
from dataspoke.quality.access import may_see
from dataspoke.quality.model import Alert, Check, DatasetQuality, Metric, Severity, Status
from dataspoke.quality.sla.model import Outlook, SlaStatus
from dataspoke.urns import dataset_name, incident_urn

_OF_AGE = frozenset({Metric.FRESHNESS, Metric.LATE_ARRIVAL, Metric.SLA})


def troubles_of(
    access: Access,
    quality: DatasetQuality | None,
    alerts: Sequence[Alert],
    outlooks: Sequence[Outlook],
    incidents: Sequence[OpenIncident],
) -> Iterator[Trouble]:
    """Yield what is wrong with a dataset: active alerts, incidents, failing checks, late loads.

    ``outlooks`` come newest first. An incident that shows an alert is none besides. A check whose
    alert is active is told of once; one that fails without an alert was said to be no fault, or is
    muted, and only makes the dataset suspect.
    """
    told: set[Check] = set()
    for alert in alerts:
        if not may_see(access, alert.check):
            continue
        told.add(alert.check)
        code = Code.FAILING_INPUT if alert.severity is Severity.ERROR else Code.SUSPECT_INPUT
        if alert.check.metric in _OF_AGE:
            code = Code.STALE_INPUT
        message = alert.message.removeprefix(f"{dataset_name(alert.urn)}: ")
        yield Trouble(code, message, f"Alert since {_moment(alert.opened_at)}.")
    shown = {incident_urn(alert.id) for alert in alerts}
    for incident in incidents:
        if incident.urn not in shown:
            since = None if incident.raised_at is None else f"Raised {_moment(incident.raised_at)}."
            message = f"it has an open incident, {incident.title!r}."
            yield Trouble(Code.FAILING_INPUT, message, since)
    for result in quality.results if quality is not None else ():
        failing = result.judgement.status in (Status.FAIL, Status.WARN)
        if not failing or result.check in told or not may_see(access, result.check):
            continue
        told.add(result.check)
        code = Code.STALE_INPUT if result.check.metric in _OF_AGE else Code.SUSPECT_INPUT
        about = "a rule" if result.check.rule is not None else result.check.key
        detail = result.judgement.detail or f"the check {about} fails."
        yield Trouble(code, detail, f"Judged {_moment(result.judged_at)}.")
    if outlooks and may_see(access, Check(Metric.SLA)) and Check(Metric.SLA) not in told:
        newest = outlooks[0]
        due = f"Due {_moment(newest.deadline)}."
        if newest.status is SlaStatus.MISSED and newest.arrived_at is None:
            yield Trouble(Code.STALE_INPUT, "its load has missed its deadline.", due)
        elif newest.status is SlaStatus.AT_RISK:
            yield Trouble(Code.SUSPECT_INPUT, "its load is likely to miss its deadline.", due)


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
