"""Data quality: the verdict on a dataset and the results behind it."""

from datetime import datetime
from typing import Annotated

import strawberry

from dataspoke.quality import model
from dataspoke.quality.model import Metric, Status
from dataspoke.resolvers import quality as resolve
from dataspoke.schema.alert import QualityAlert
from dataspoke.schema.enum import describe
from dataspoke.schema.info import Info

describe(
    Status,
    name="QualityStatus",
    description="A verdict.",
    values={
        "PASS": "As expected.",
        "FAIL": "Outside the expected range.",
        "WARMING_UP": "There is too little history to judge.",
    },
)


_NO_RANGE = "null while warming up, and for the freshness of a deprecated dataset"


@strawberry.type(description="One observation of a metric, judged against those before it.")
class QualityResult:
    metric: Metric = strawberry.field(description="What was observed.")
    status: Status = strawberry.field(description="The verdict on this observation.")
    observed_at: datetime = strawberry.field(description="When the value was observed.")
    value: float = strawberry.field(description="What was observed, in the metric's unit.")
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
    judged_at: datetime = strawberry.field(description="When it was judged.")

    @classmethod
    def of(cls, result: model.Result) -> "QualityResult":
        judgement = result.judgement
        return cls(
            metric=result.metric,
            status=judgement.status,
            observed_at=judgement.point.time,
            value=judgement.point.value,
            expected=judgement.expected,
            low=judgement.low,
            high=judgement.high,
            score=judgement.score,
            detector=judgement.detector,
            judged_at=result.judged_at,
        )


@strawberry.type(description="DataSpoke's latest verdict on a dataset's data.")
class DatasetQuality:
    verdict: strawberry.Private[model.DatasetQuality]

    status: Status = strawberry.field(
        description="FAIL where any metric fails, PASS where at least one was judged and none "
        "fails, WARMING_UP where none could be judged yet."
    )
    score: float | None = strawberry.field(
        description="Share of the judged metrics that pass, 0 to 100; null where none was judged."
    )
    scanned_at: datetime = strawberry.field(description="When the dataset was last scanned.")

    @strawberry.field(description="The newest results, newest first.")
    async def results(
        self,
        info: Info,
        first: Annotated[
            int, strawberry.argument(description="How many results of each metric, 1 to 100.")
        ] = 1,
    ) -> list[QualityResult] | None:
        found = await resolve.results(info.context, self.verdict, first)
        return [QualityResult.of(result) for result in found]

    @strawberry.field(description="Alerts that are not resolved, newest first.")
    async def alerts(self, info: Info) -> list[QualityAlert] | None:
        found = await resolve.active_alerts(info.context, self.verdict.urn)
        return [QualityAlert.of(alert) for alert in found]

    @classmethod
    def of(cls, verdict: model.DatasetQuality) -> "DatasetQuality":
        return cls(
            verdict=verdict,
            status=verdict.status,
            score=verdict.score,
            scanned_at=verdict.scanned_at,
        )
