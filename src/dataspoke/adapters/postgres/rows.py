"""Between rows and the domain's values."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row

from dataspoke.health.model import Finding, HealthScore
from dataspoke.knowledge.model import Document, Part, PartKind
from dataspoke.ports.vectors import Entry
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    AlertState,
    DatasetQuality,
    Judgement,
    Metric,
    Point,
    Result,
    Status,
)

_RESULTS = TypeAdapter(tuple[Result, ...])
_FINDINGS = TypeAdapter(tuple[Finding, ...])
# One search reads thousands of parts: looking them up takes a fifth of making them by call.
_KINDS = {kind.value: kind for kind in PartKind}


def result_values(result: Result) -> Mapping[str, Any]:
    judgement = result.judgement
    return {
        "urn": result.urn,
        "metric": result.metric,
        "point_time": judgement.point.time,
        "value": judgement.point.value,
        "status": judgement.status,
        "detector": judgement.detector,
        "expected": judgement.expected,
        "low": judgement.low,
        "high": judgement.high,
        "score": judgement.score,
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
    )
    return Result(row.urn, Metric(row.metric), judgement, row.judged_at)


def quality_values(verdict: DatasetQuality) -> Mapping[str, Any]:
    return {
        "urn": verdict.urn,
        "status": verdict.status,
        "score": verdict.score,
        "results": _RESULTS.dump_python(verdict.results, mode="json"),
        "scanned_at": verdict.scanned_at,
    }


def quality(row: Row[Any]) -> DatasetQuality:
    results = _RESULTS.validate_python(row.results)
    return DatasetQuality(row.urn, Status(row.status), row.score, results, row.scanned_at)


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
    return {name: getattr(alert, name) for name in Alert.__dataclass_fields__}


def alert(row: Row[Any]) -> Alert:
    values = {name: getattr(row, name) for name in Alert.__dataclass_fields__}
    values["metric"] = Metric(row.metric)
    values["state"] = AlertState(row.state)
    return Alert(**values)


def alert_change(row: Row[Any]) -> AlertChange:
    return AlertChange(row.cursor, alert(row))


def document_values(entry: Entry, length: float) -> Mapping[str, Any]:
    document = entry.document
    return {
        "urn": document.urn,
        "version": entry.version,
        "content_hash": document.content_hash,
        "platform": document.platform,
        "tags": document.tags,
        "owners": document.owners,
        "domain": document.domain,
        "length": length,
    }


def content_values(document_id: int, entry: Entry) -> Mapping[str, Any]:
    return {
        "document_id": document_id,
        "content": asdict(entry.document),
        "model": entry.model,
        "vector": entry.vector,
    }


def document(content: Mapping[str, Any]) -> Document:
    parts = (Part(_KINDS[part["kind"]], part["label"], part["words"]) for part in content["parts"])
    tags, owners = tuple(content["tags"]), tuple(content["owners"])
    return Document(**{**content, "parts": tuple(parts), "tags": tags, "owners": owners})
