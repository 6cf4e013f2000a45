"""Verdicts and scores as the aspects that show them in DataHub. Pure.

Assertions and the two structured properties are DataSpoke's own, under urns that nobody else uses;
nothing here touches what a person wrote.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from datahub.emitter.mce_builder import make_schema_field_urn
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.metadata import schema_classes as models
from datahub.specific.dataset import DatasetPatchBuilder

from dataspoke.ports.hub import Scores
from dataspoke.quality.model import Metric, Result, Status
from dataspoke.urns import assertion_urn, deterministic_id

Proposal = MetadataChangeProposalWrapper | models.MetadataChangeProposalClass

RUN_ID = "dataspoke"
"""The run id in the system metadata of everything that DataSpoke writes; it tells its own changes
from those of others, and what to remove when DataSpoke is."""

_PLATFORM = "urn:li:dataPlatform:dataspoke"


@dataclass(frozen=True, slots=True)
class _Property:
    """A structured property. Its id has neither a dot nor an underscore: DataHub's index takes
    ``a.b`` and ``a_b`` for the same."""

    id: str
    name: str
    description: str

    @property
    def urn(self) -> str:
        return f"urn:li:structuredProperty:{self.id}"


_QUALITY = _Property(
    "dataspokeQualityScore",
    "Quality score",
    "Share of the watched metrics that are within their expected range, 0 to 100. By DataSpoke.",
)
_HEALTH = _Property(
    "dataspokeHealthScore",
    "Metadata health score",
    "How well the metadata is looked after, 0 to 100. By DataSpoke.",
)

PROPERTY_URNS = (_QUALITY.urn, _HEALTH.urn)

# Assertion type, as DataHub shows it, and what the assertion says.
_KINDS: Mapping[Metric, tuple[str, str]] = {
    Metric.ROW_COUNT: ("Volume", "The number of rows"),
    Metric.SIZE: ("Volume", "The size in bytes"),
    Metric.COLUMN_COUNT: ("Schema", "The number of columns"),
    Metric.NULL_SHARE: ("Column", "The share of empty values"),
    Metric.UNIQUE_SHARE: ("Column", "The share of distinct values"),
    Metric.MEAN: ("Column", "The mean"),
    Metric.MIN: ("Column", "The least value"),
    Metric.MAX: ("Column", "The greatest value"),
    Metric.STDEV: ("Column", "The standard deviation"),
    Metric.FRESHNESS: ("Freshness", "The time since the last update"),
    Metric.LATE_ARRIVAL: ("Freshness", "The delay of an update against its usual time"),
    Metric.QUERY_COUNT: ("Usage", "The number of queries a day"),
    Metric.SLA: ("Freshness", "The time past the deadline"),
}
_RULE = ("Rule", "A rule of DataSpoke")

_PASSING = frozenset({Status.PASS, Status.WARN})


def describing(result: Result, rules: Mapping[UUID, str]) -> tuple[Proposal, ...]:
    """Return what makes the assertion of a result known, without any verdict."""
    urn = assertion_urn(result.urn, result.check.key)
    return (
        proposal(urn, _info(result, rules)),
        proposal(urn, models.DataPlatformInstanceClass(platform=_PLATFORM)),
        proposal(urn, models.StatusClass(removed=False)),
    )


def removal(urn: str) -> Proposal:
    """Return what has an assertion shown no longer."""
    return proposal(urn, models.StatusClass(removed=True))


def definitions(urns: set[str]) -> Iterator[Proposal]:
    """Yield the definitions of those structured properties."""
    for prop in (_QUALITY, _HEALTH):
        if prop.urn in urns:
            yield proposal(
                prop.urn,
                models.StructuredPropertyDefinitionClass(
                    qualifiedName=prop.id,
                    displayName=prop.name,
                    description=prop.description,
                    valueType="urn:li:dataType:datahub.number",
                    entityTypes=["urn:li:entityType:datahub.dataset"],
                    cardinality=models.PropertyCardinalityClass.SINGLE,
                ),
            )


def properties(scores: list[Scores]) -> Iterator[Proposal]:
    """Yield patches that set the scores and leave every other property as it is."""
    for each in scores:
        patch = DatasetPatchBuilder(each.urn, system_metadata=system_metadata())
        for prop, value in ((_QUALITY, each.quality), (_HEALTH, each.health)):
            if value is not None:
                patch.set_structured_property(prop.urn, value)
        yield from patch.build()


def _info(result: Result, rules: Mapping[UUID, str]) -> models.AssertionInfoClass:
    check, column = result.check, result.check.column
    if check.metric is not None:
        kind, what = _KINDS[check.metric]
        of = "" if column is None else f" of {column}"
        whose = "the dataset" if column is None else "the column"
        text = f"{what}{of} is within the range expected from {whose}'s own past."
    else:
        kind, text = _RULE
        text = rules.get(check.rule, text) if check.rule is not None else text
    return models.AssertionInfoClass(
        type=models.AssertionTypeClass.CUSTOM,
        description=text,
        source=models.AssertionSourceClass(type=models.AssertionSourceTypeClass.EXTERNAL),
        customAssertion=models.CustomAssertionInfoClass(
            type=kind,
            entity=result.urn,
            # Not its ``fields``, ``scope`` and ``operator``: releases before 1.6 refuse them.
            field=None if column is None else make_schema_field_urn(result.urn, column),
        ),
    )


def run(result: Result) -> Proposal:
    """Return the run of a result's assertion, with the verdict.

    It lies at the time of the point that was judged, under an id that follows from it: judging
    the point again replaces the run.
    """
    urn, judgement = assertion_urn(result.urn, result.check.key), result.judgement
    time_ms = int(judgement.point.time.timestamp() * 1000)
    shown = {
        "expected": judgement.expected,
        "low": judgement.low,
        "high": judgement.high,
        "score": judgement.score,
    }
    said = {name: _plain(value) for name, value in shown.items() if value is not None}
    measured = result.check.metric is not None or bool(said)
    if judgement.detail is not None:
        said["detail"] = judgement.detail
    if judgement.status is Status.WARN:
        said["severity"] = "WARN"
    return proposal(
        urn,
        models.AssertionRunEventClass(
            timestampMillis=time_ms,
            runId=str(deterministic_id("run", urn, str(time_ms))),
            assertionUrn=urn,
            asserteeUrn=result.urn,
            status=models.AssertionRunStatusClass.COMPLETE,
            result=models.AssertionResultClass(
                type=_outcome(judgement.status),
                actualAggValue=judgement.point.value
                if measured and judgement.status is not Status.ERROR
                else None,
                nativeResults={**said, "detector": judgement.detector},
                error=models.AssertionResultErrorClass(
                    type=models.AssertionResultErrorTypeClass.UNKNOWN_ERROR,
                    properties={"message": judgement.detail or "The check could not be made."},
                )
                if judgement.status is Status.ERROR
                else None,
            ),
        ),
    )


def _outcome(status: Status) -> str:
    # As DataHub's own dbt source does with a warning: a failure would turn the dataset red.
    if status in _PASSING:
        return models.AssertionResultTypeClass.SUCCESS
    if status is Status.ERROR:
        return models.AssertionResultTypeClass.ERROR
    return models.AssertionResultTypeClass.FAILURE


def _plain(value: float) -> str:
    """Return a number for people to read: six digits that count, and no exponent."""
    return str(np.format_float_positional(value, precision=6, fractional=False, trim="-"))


def proposal(urn: str, aspect: models._Aspect) -> Proposal:
    """Return what writes an aspect as DataSpoke's own."""
    return MetadataChangeProposalWrapper(
        entityUrn=urn, aspect=aspect, systemMetadata=system_metadata()
    )


def system_metadata() -> models.SystemMetadataClass:
    """Return what marks a change as DataSpoke's own."""
    return models.SystemMetadataClass(runId=RUN_ID)
