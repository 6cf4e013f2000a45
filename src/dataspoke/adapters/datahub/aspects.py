"""Verdicts and scores as the aspects that show them in DataHub. Pure.

Assertions and the two structured properties are DataSpoke's own, under urns that nobody else uses;
nothing here touches what a person wrote.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
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
_KINDS: Mapping[Metric | None, tuple[str, str]] = {
    Metric.ROW_COUNT: (
        "Volume",
        "The number of rows is within the range expected from the dataset's own past.",
    ),
    Metric.FRESHNESS: (
        "Freshness",
        "The dataset was updated within the time expected from its own past.",
    ),
}


def assertions(results: list[Result]) -> Iterator[Proposal]:
    """Yield the assertion of each result that was judged, and the run with its verdict.

    A run lies at the time of the point that was judged, under an id that follows from it: judging
    the point again replaces the run.
    """
    for result in results:
        if result.judgement.status is Status.WARMING_UP:
            continue
        urn = assertion_urn(result.urn, result.check.key)
        yield _proposal(urn, _info(result))
        yield _proposal(urn, models.DataPlatformInstanceClass(platform=_PLATFORM))
        yield _proposal(urn, _run(urn, result))


def definitions(urns: set[str]) -> Iterator[Proposal]:
    """Yield the definitions of those structured properties."""
    for prop in (_QUALITY, _HEALTH):
        if prop.urn in urns:
            yield _proposal(
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
        patch = DatasetPatchBuilder(each.urn, system_metadata=_system_metadata())
        for prop, value in ((_QUALITY, each.quality), (_HEALTH, each.health)):
            if value is not None:
                patch.set_structured_property(prop.urn, value)
        yield from patch.build()


def _info(result: Result) -> models.AssertionInfoClass:
    kind, description = _KINDS.get(
        result.check.metric, ("Other", "The check passes, by its rule or the dataset's own past.")
    )
    return models.AssertionInfoClass(
        type=models.AssertionTypeClass.CUSTOM,
        description=description,
        source=models.AssertionSourceClass(type=models.AssertionSourceTypeClass.EXTERNAL),
        customAssertion=models.CustomAssertionInfoClass(type=kind, entity=result.urn),
    )


def _run(urn: str, result: Result) -> models.AssertionRunEventClass:
    judgement = result.judgement
    time_ms = int(judgement.point.time.timestamp() * 1000)
    shown = {
        "expected": judgement.expected,
        "low": judgement.low,
        "high": judgement.high,
        "score": judgement.score,
    }
    numbers = {name: _plain(value) for name, value in shown.items() if value is not None}
    passed = judgement.status is Status.PASS
    return models.AssertionRunEventClass(
        timestampMillis=time_ms,
        runId=str(deterministic_id("run", urn, str(time_ms))),
        assertionUrn=urn,
        asserteeUrn=result.urn,
        status=models.AssertionRunStatusClass.COMPLETE,
        result=models.AssertionResultClass(
            type=models.AssertionResultTypeClass.SUCCESS
            if passed
            else models.AssertionResultTypeClass.FAILURE,
            actualAggValue=judgement.point.value,
            nativeResults={**numbers, "detector": judgement.detector},
        ),
    )


def _plain(value: float) -> str:
    """Return a number for people to read: six digits that count, and no exponent."""
    return str(np.format_float_positional(value, precision=6, fractional=False, trim="-"))


def _proposal(urn: str, aspect: models._Aspect) -> Proposal:
    return MetadataChangeProposalWrapper(
        entityUrn=urn, aspect=aspect, systemMetadata=_system_metadata()
    )


def _system_metadata() -> models.SystemMetadataClass:
    return models.SystemMetadataClass(runId=RUN_ID)
