"""Alerts as DataHub's incidents. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from datahub.metadata import schema_classes as models

from dataspoke.adapters.datahub.aspects import Proposal, proposal, system_metadata
from dataspoke.ports.hub import Incident
from dataspoke.quality.model import Check, Metric, Severity
from dataspoke.urns import assertion_urn, incident_urn

INFO = "incidentInfo"

_ACTOR = "urn:li:corpuser:dataspoke"
_TYPES: Mapping[Metric, str] = {
    Metric.ROW_COUNT: models.IncidentTypeClass.VOLUME,
    Metric.SIZE: models.IncidentTypeClass.VOLUME,
    Metric.COLUMN_COUNT: models.IncidentTypeClass.DATA_SCHEMA,
    Metric.FRESHNESS: models.IncidentTypeClass.FRESHNESS,
    Metric.LATE_ARRIVAL: models.IncidentTypeClass.FRESHNESS,
    Metric.SLA: models.IncidentTypeClass.FRESHNESS,
}
# DataHub counts from 0, CRITICAL, which is for people to say, to 3, LOW.
_PRIORITIES: Mapping[Severity, int] = {Severity.ERROR: 1, Severity.WARN: 2}


def changes(
    incidents: Sequence[Incident], known: Mapping[str, Mapping[str, Any]]
) -> Iterator[Proposal]:
    """Yield what raises and resolves the incidents; ``known`` is what the hub has of each, by urn.

    One that the hub has keeps all but its status, and that as well where it was said later. What
    has ended before it was raised is not raised.
    """
    latest = {each.id: each for each in sorted(incidents, key=lambda each: each.changed_at)}
    for incident in latest.values():
        urn = incident_urn(incident.id)
        if urn not in known:
            if incident.active:
                yield proposal(urn, _raised(incident))
        elif known[urn]["status"]["lastUpdated"]["time"] < _ms(incident.changed_at):
            yield _replaced(urn, {**known[urn], "status": _status(incident, known[urn]["status"])})


def _raised(incident: Incident) -> models.IncidentInfoClass:
    kind, custom = _type(incident.check)
    active = incident.active
    return models.IncidentInfoClass(
        type=kind,
        customType=custom,
        title=incident.title,
        description=incident.description,
        entities=[incident.urn],
        priority=_PRIORITIES[incident.severity],
        status=models.IncidentStatusClass(
            state=_state(active),
            stage=None if active else _stage(incident),
            message=None if active else incident.message,
            lastUpdated=_stamp(incident.changed_at),
        ),
        source=models.IncidentSourceClass(
            type=models.IncidentSourceTypeClass.ASSERTION_FAILURE,
            sourceUrn=assertion_urn(incident.urn, incident.check.key),
        ),
        startedAt=_ms(incident.started_at),
        created=_stamp(incident.raised_at),
    )


def _status(incident: Incident, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status after a change; the stage is a person's word while it is active."""
    stage = known.get("stage")
    if incident.active and known["state"] != models.IncidentStateClass.ACTIVE:
        # It is back: what ended it has not.
        stage = None
    elif not incident.active:
        stage = _stage(incident)
    said = {"stage": stage, "message": None if incident.active else incident.message}
    return {
        "state": _state(incident.active),
        **{name: value for name, value in said.items() if value is not None},
        "lastUpdated": {"time": _ms(incident.changed_at), "actor": _ACTOR},
    }


def _replaced(urn: str, value: Mapping[str, Any]) -> Proposal:
    # As it came from the hub: the SDK's class would drop what it does not know.
    return models.MetadataChangeProposalClass(
        entityType="incident",
        entityUrn=urn,
        changeType=models.ChangeTypeClass.UPSERT,
        aspectName=INFO,
        aspect=models.GenericAspectClass(
            value=json.dumps(value).encode(), contentType="application/json"
        ),
        systemMetadata=system_metadata(),
    )


def _type(check: Check) -> tuple[str, str | None]:
    if check.column is not None:
        return models.IncidentTypeClass.FIELD, None
    if check.metric is None:
        return models.IncidentTypeClass.CUSTOM, "Rule"
    kind = _TYPES.get(check.metric, models.IncidentTypeClass.CUSTOM)
    return kind, "Usage" if kind == models.IncidentTypeClass.CUSTOM else None


def _state(active: bool) -> str:
    return models.IncidentStateClass.ACTIVE if active else models.IncidentStateClass.RESOLVED


def _stage(incident: Incident) -> str:
    if incident.false_alarm:
        return models.IncidentStageClass.NO_ACTION_REQUIRED
    return models.IncidentStageClass.FIXED


def _stamp(time: datetime) -> models.AuditStampClass:
    return models.AuditStampClass(time=_ms(time), actor=_ACTOR)


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
