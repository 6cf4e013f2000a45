"""Data quality: the verdict on a dataset and the results behind it."""

from datetime import datetime
from typing import Annotated

import strawberry

from dataspoke.quality import model
from dataspoke.quality.model import Dimension, Metric, Status
from dataspoke.resolvers import quality as resolve
from dataspoke.resolvers import rules as resolve_rules
from dataspoke.resolvers import sla as resolve_sla
from dataspoke.schema.alert import QualityAlert
from dataspoke.schema.check import QualityCheck
from dataspoke.schema.info import Info
from dataspoke.schema.rules import QualityRule
from dataspoke.schema.sla import DatasetSla

_NO_RANGE = (
    "null while warming up, for the freshness of a deprecated dataset, and where a rule has none"
)


@strawberry.type(description="One observation, judged against those before it or by a rule.")
class QualityResult:
    check: QualityCheck = strawberry.field(description="What was checked.")
    metric: Metric | None = strawberry.field(
        description="What was observed; null for a rule. The same as in `check`."
    )
    dimension: Dimension | None = strawberry.field(
        description="What it tells about; null for the number of queries."
    )
    status: Status = strawberry.field(description="The verdict on this observation.")
    observed_at: datetime = strawberry.field(description="When the value was observed.")
    value: float = strawberry.field(description="What was observed, in the check's unit.")
    expected: float | None = strawberry.field(description=f"The most likely value; {_NO_RANGE}.")
    low: float | None = strawberry.field(
        description=f"Lower end of the expected range; {_NO_RANGE}."
    )
    high: float | None = strawberry.field(
        description=f"Upper end of the expected range; {_NO_RANGE}."
    )
    score: float | None = strawberry.field(
        description="How unusual the value is among the series' own past, 0 (usual) to 1 (never "
        f"seen); {_NO_RANGE}."
    )
    detector: str = strawberry.field(
        description="The method that judged; `deprecated` where no load is owed any more."
    )
    detail: str | None = strawberry.field(
        description="What a rule found, in a sentence; null where the numbers say it all."
    )
    judged_at: datetime = strawberry.field(description="When it was judged.")

    @classmethod
    def of(cls, result: model.Result) -> "QualityResult":
        judgement = result.judgement
        return cls(
            check=QualityCheck.of(result.check),
            metric=result.check.metric,
            dimension=result.dimension,
            status=judgement.status,
            observed_at=judgement.point.time,
            value=judgement.point.value,
            expected=judgement.expected,
            low=judgement.low,
            high=judgement.high,
            score=judgement.score,
            detector=judgement.detector,
            detail=judgement.detail,
            judged_at=result.judged_at,
        )


@strawberry.type(description="One observation in the history of a check.")
class QualityPoint:
    time: datetime = strawberry.field(description="When it was observed.")
    value: float = strawberry.field(description="What was observed, in the check's unit.")
    expected: float | None = strawberry.field(description=f"The most likely value; {_NO_RANGE}.")
    low: float | None = strawberry.field(
        description=f"Lower end of the expected range; {_NO_RANGE}."
    )
    high: float | None = strawberry.field(
        description=f"Upper end of the expected range; {_NO_RANGE}."
    )
    is_anomaly: bool = strawberry.field(description="Whether it was outside what was expected.")

    @classmethod
    def of(cls, judgement: model.Judgement) -> "QualityPoint":
        return cls(
            time=judgement.point.time,
            value=judgement.point.value,
            expected=judgement.expected,
            low=judgement.low,
            high=judgement.high,
            is_anomaly=judgement.status in (Status.FAIL, Status.WARN),
        )


@strawberry.type(description="What was observed of one check, and what was expected.")
class QualityHistory:
    check: QualityCheck = strawberry.field(description="What was checked.")
    points: list[QualityPoint] = strawberry.field(description="The observations, oldest first.")


@strawberry.type(description="The verdict on one dimension of a dataset's data.")
class QualityDimensionScore:
    dimension: Dimension = strawberry.field(description="What its checks tell about.")
    status: Status = strawberry.field(description="The worst verdict of its checks.")
    score: float = strawberry.field(
        description="The mean of its checks, 0 to 100: a pass counts 1, a warning a half."
    )


@strawberry.type(description="DataSpoke's latest verdict on a dataset's data.")
class DatasetQuality:
    verdict: strawberry.Private[model.DatasetQuality]

    status: Status = strawberry.field(
        description="The worst verdict of all checks; PASS where at least one was judged and none "
        "fails, WARMING_UP where none could be judged yet."
    )
    score: float | None = strawberry.field(
        description="Weighted mean of the dimensions' scores, 0 to 100; null where nothing was "
        "judged."
    )
    dimensions: list[QualityDimensionScore] = strawberry.field(
        description="The verdict on each dimension that there is evidence of."
    )
    scanned_at: datetime = strawberry.field(description="When the dataset was last scanned.")

    @strawberry.field(description="The newest results, newest first.")
    async def results(
        self,
        info: Info,
        first: Annotated[
            int, strawberry.argument(description="How many results of each check, 1 to 100.")
        ] = 1,
    ) -> list[QualityResult] | None:
        found = await resolve.results(info.context, self.verdict, first)
        return [QualityResult.of(result) for result in found]

    @strawberry.field(description="The rules that it is held to, by name.")
    async def rules(self, info: Info) -> list[QualityRule] | None:
        found = await resolve_rules.of_dataset(info.context, self.verdict.urn)
        return [QualityRule.of(rule) for rule in found]

    @strawberry.field(description="Alerts that have not ended, newest first.")
    async def alerts(self, info: Info) -> list[QualityAlert] | None:
        found = await resolve.active_alerts(info.context, self.verdict.urn)
        return [QualityAlert.of(alert) for alert in found]

    @strawberry.field(
        description="The deadline to be loaded by, and how it stands with it; null where there is "
        "none, or the caller may not view the dataset's operations."
    )
    async def sla(self, info: Info) -> DatasetSla | None:
        found = await resolve_sla.sla(info.context, self.verdict.urn)
        return None if found is None else DatasetSla.of(found)

    @strawberry.field(description="What was observed of one metric, and what was expected.")
    async def history(
        self,
        info: Info,
        metric: Annotated[Metric, strawberry.argument(description="Which metric.")],
        column: Annotated[
            str | None,
            strawberry.argument(description="The column; null for metrics of the whole dataset."),
        ] = None,
        since: Annotated[
            datetime | None, strawberry.argument(description="From when; null for the beginning.")
        ] = None,
        until: Annotated[
            datetime | None, strawberry.argument(description="Up to when; null for now.")
        ] = None,
        last: Annotated[
            int, strawberry.argument(description="How many points, the newest, 1 to 1,000.")
        ] = 100,
    ) -> QualityHistory | None:
        check = model.Check(metric, column)
        found = await resolve.history(info.context, self.verdict.urn, check, since, until, last)
        return QualityHistory(
            check=QualityCheck.of(check),
            points=[QualityPoint.of(result.judgement) for result in found],
        )

    @classmethod
    def of(cls, verdict: model.DatasetQuality) -> "DatasetQuality":
        return cls(
            verdict=verdict,
            status=verdict.status,
            score=verdict.score,
            dimensions=[
                QualityDimensionScore(dimension=d.dimension, status=d.status, score=d.score)
                for d in verdict.dimensions
            ],
            scanned_at=verdict.scanned_at,
        )
