"""Between rows and the domain's values."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row

from dataspoke.health.model import Finding, HealthScore
from dataspoke.knowledge.model import Attributes, Document
from dataspoke.ports.vectors import Entry
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    AlertState,
    Check,
    DatasetQuality,
    Dimension,
    DimensionQuality,
    Feedback,
    FeedbackKind,
    Judgement,
    Metric,
    MonitorSettings,
    Point,
    Result,
    Severity,
    Status,
)

_RESULTS = TypeAdapter(tuple[Result, ...])
_DIMENSIONS = TypeAdapter(tuple[DimensionQuality, ...])
_ALERT = TypeAdapter(Alert)
_MONITOR = TypeAdapter(MonitorSettings)
_FINDINGS = TypeAdapter(tuple[Finding, ...])
_DOCUMENT = TypeAdapter(Document)
# As the columns of documents are called, and in the order of the dataclass.
ATTRIBUTES = tuple(Attributes.__dataclass_fields__)


def result_values(result: Result) -> Mapping[str, Any]:
    judgement = result.judgement
    return {
        "urn": result.urn,
        "check_key": result.check.key,
        "point_time": judgement.point.time,
        "value": judgement.point.value,
        "status": judgement.status,
        "detector": judgement.detector,
        "expected": judgement.expected,
        "low": judgement.low,
        "high": judgement.high,
        "score": judgement.score,
        "detail": judgement.detail,
        "dimension": result.dimension,
        "judged_at": result.judged_at,
    }


def result(row: Row[Any]) -> Result:
    judgement = Judgement(
        point=Point(row.point_time, row.value),
        status=Status(row.status),
        detector=row.detector,
        expected=row.expected,
        low=row.low,
        high=row.high,
        score=row.score,
        detail=row.detail,
    )
    dimension = None if row.dimension is None else Dimension(row.dimension)
    return Result(row.urn, Check.parse(row.check_key), judgement, row.judged_at, dimension)


def quality_values(verdict: DatasetQuality) -> Mapping[str, Any]:
    return {
        "urn": verdict.urn,
        "status": verdict.status,
        "score": verdict.score,
        "dimensions": _DIMENSIONS.dump_python(verdict.dimensions, mode="json"),
        "results": _RESULTS.dump_python(verdict.results, mode="json"),
        "check_keys": [result.check.key for result in verdict.results],
        "freshness": next(
            (d.status for d in verdict.dimensions if d.dimension is Dimension.FRESHNESS), None
        ),
        "queries": next(
            (
                result.judgement.point.value
                for result in verdict.results
                if result.check.metric is Metric.QUERY_COUNT
            ),
            None,
        ),
        "scanned_at": verdict.scanned_at,
    }


def quality(row: Row[Any]) -> DatasetQuality:
    dimensions = _DIMENSIONS.validate_python(row.dimensions)
    results = _RESULTS.validate_python(row.results)
    status = Status(row.status)
    return DatasetQuality(row.urn, status, row.score, dimensions, results, row.scanned_at)


def health_values(score: HealthScore) -> Mapping[str, Any]:
    return {
        "urn": score.urn,
        "value": score.value,
        "findings": _FINDINGS.dump_python(score.findings, mode="json"),
        "scored_at": score.scored_at,
    }


def health(row: Row[Any]) -> HealthScore:
    return HealthScore(row.urn, row.value, _FINDINGS.validate_python(row.findings), row.scored_at)


def alert_values(alert: Alert) -> Mapping[str, Any]:
    """Return the row of an alert that is to be saved: with its next version."""
    values = {name: getattr(alert, name) for name in Alert.__dataclass_fields__ if name != "check"}
    return {**values, "check_key": alert.check.key, "version": alert.version + 1}


def alert(row: Row[Any]) -> Alert:
    values: dict[str, Any] = {
        name: getattr(row, name) for name in Alert.__dataclass_fields__ if name != "check"
    }
    values["check"] = Check.parse(row.check_key)
    values["state"] = AlertState(row.state)
    values["severity"] = Severity(row.severity)
    values["feedback"] = None if row.feedback is None else FeedbackKind(row.feedback)
    return Alert(**values)


def alert_change_values(alert: Alert) -> Mapping[str, Any]:
    return {
        "alert_id": alert.id,
        "urn": alert.urn,
        "alert": _ALERT.dump_python(alert, mode="json"),
    }


def alert_change(row: Row[Any]) -> AlertChange:
    return AlertChange(row.cursor, _ALERT.validate_python(row.alert))


def feedback_values(said: Feedback) -> Mapping[str, Any]:
    return {
        "urn": said.urn,
        "check_key": said.check.key,
        "point_time": said.point_time,
        "kind": said.kind,
        "by": said.by,
        "at": said.at,
    }


def feedback(row: Row[Any]) -> Feedback:
    check, kind = Check.parse(row.check_key), FeedbackKind(row.kind)
    return Feedback(row.urn, check, row.point_time, kind, row.by, row.at)


def monitor_values(settings: MonitorSettings) -> Mapping[str, Any]:
    version = settings.version + 1
    return {
        "urn": settings.urn,
        "settings": {**_MONITOR.dump_python(settings, mode="json"), "version": version},
        "version": version,
    }


def monitor(row: Row[Any]) -> MonitorSettings:
    return _MONITOR.validate_python(row.settings)


def document_values(entry: Entry, length: float) -> Mapping[str, Any]:
    document = entry.document
    return {
        "urn": document.urn,
        "version": entry.version,
        "content_hash": document.content_hash,
        **{name: getattr(document.attributes, name) for name in ATTRIBUTES},
        "length": length,
        "model": entry.model,
    }


def document(content: Mapping[str, Any]) -> Document:
    return _DOCUMENT.validate_python(content)


def attributes(row: Sequence[Any]) -> Attributes:
    """Return what a document is filtered by, from the columns named in ``ATTRIBUTES``."""
    platform, domain, *several = row
    return Attributes(platform, domain, *map(tuple, several))
