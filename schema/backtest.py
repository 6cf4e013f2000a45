"""What a monitor would have alerted on."""

from datetime import datetime
from typing import Annotated

import strawberry

from dataspoke.quality import backtest as model
from dataspoke.quality.model import Metric
from dataspoke.resolvers import backtests as resolve
from dataspoke.schema.check import QualityCheck
from dataspoke.schema.info import Info
from dataspoke.schema.quality import QualityPoint

_PER_MONTH = "null where nothing could be judged"


@strawberry.type(description="An alert as it would have been.")
class QualityWouldBeAlert:
    message: str = strawberry.field(description="What would have been told, in a sentence.")
    opened_at: datetime = strawberry.field(description="When it would have been raised.")
    ended_at: datetime | None = strawberry.field(
        description="When it would have resolved; null where it would be open still."
    )
    reopened: int = strawberry.field(
        description="How often it would have come back soon after it had resolved."
    )
    value: float = strawberry.field(description="The first failing value, in the check's unit.")
    expected: float | None = strawberry.field(description="The most likely value then.")
    low: float | None = strawberry.field(description="Lower end of the expected range then.")
    high: float | None = strawberry.field(description="Upper end of the expected range then.")
    score: float | None = strawberry.field(
        description="How unusual the first failing value was, 0 (usual) to 1 (never seen)."
    )
    peak: QualityPoint = strawberry.field(
        description="The observation that was farthest out of its range."
    )

    @classmethod
    def of(cls, would_be: model.WouldBeAlert) -> "QualityWouldBeAlert":
        alert = would_be.alert
        return cls(
            message=alert.message,
            opened_at=alert.opened_at,
            ended_at=alert.ended_at,
            reopened=alert.reopened,
            value=alert.value,
            expected=alert.expected,
            low=alert.low,
            high=alert.high,
            score=alert.score,
            peak=QualityPoint.of(would_be.peak),
        )


@strawberry.type(description="What would have come of one check.")
class QualityCheckBacktest:
    found: strawberry.Private[model.CheckBacktest]

    check: QualityCheck = strawberry.field(description="What was checked.")
    judged: int = strawberry.field(description="How many observations could be judged.")
    out_of_range: int = strawberry.field(description="How many of them were out of range.")
    alerts_per_month: float | None = strawberry.field(
        description=f"How many alerts a month it would have raised; {_PER_MONTH}."
    )
    alerts: list[QualityWouldBeAlert] = strawberry.field(
        description="The alerts that it would have raised, oldest first."
    )

    silenced: list[QualityWouldBeAlert] = strawberry.field(
        description="The alerts that there would have been without people's feedback, and are not "
        "with it."
    )
    added: list[QualityWouldBeAlert] = strawberry.field(
        description="The alerts that there are only because of people's feedback."
    )

    @strawberry.field(
        description="Observations and what was to be expected of them, oldest first, for a "
        "picture: where there are more, those out of range and an even selection of the others."
    )
    def points(
        self,
        most: Annotated[
            int, strawberry.argument(description="How many at most, 1 to 1,000.")
        ] = 500,
    ) -> list[QualityPoint] | None:
        return [QualityPoint.of(judgement) for judgement in resolve.points(self.found, most)]

    @classmethod
    def of(cls, found: model.CheckBacktest) -> "QualityCheckBacktest":
        return cls(
            found=found,
            check=QualityCheck.of(found.check),
            judged=found.judged,
            out_of_range=found.failed,
            alerts_per_month=found.alerts_per_month,
            alerts=[QualityWouldBeAlert.of(alert) for alert in found.alerts],
            silenced=[QualityWouldBeAlert.of(alert) for alert in found.silenced],
            added=[QualityWouldBeAlert.of(alert) for alert in found.added],
        )


@strawberry.type(description="What scans of a dataset would have alerted on.")
class QualityBacktest:
    since: datetime = strawberry.field(description="From when scans were replayed.")
    until: datetime = strawberry.field(description="Up to when scans were replayed.")
    alerts_per_month: float | None = strawberry.field(
        description=f"How many alerts a month all checks would have raised; {_PER_MONTH}."
    )
    checks: list[QualityCheckBacktest] = strawberry.field(
        description="The checks that the dataset has observations of, and that the caller may see."
    )

    @classmethod
    def of(cls, found: model.Backtest) -> "QualityBacktest":
        return cls(
            since=found.since,
            until=found.until,
            alerts_per_month=found.alerts_per_month,
            checks=[QualityCheckBacktest.of(check) for check in found.checks],
        )


@strawberry.type
class BacktestQuery:
    @strawberry.field(
        description="What scans of a dataset would have alerted on, by the rules in force now. "
        "Changes nothing. The caller must be allowed to view the dataset's profiles."
    )
    async def backtest_monitor(
        self,
        info: Info,
        urn: Annotated[str, strawberry.argument(description="The dataset.")],
        metric: Annotated[
            Metric | None, strawberry.argument(description="Only this metric; null for all.")
        ] = None,
        column: Annotated[
            str | None,
            strawberry.argument(description="The column; null for metrics of the whole dataset."),
        ] = None,
        days: Annotated[
            int, strawberry.argument(description="How many days up to now, 1 to 730.")
        ] = 90,
        alerts_per_fortnight: Annotated[
            float | None,
            strawberry.argument(
                description="False alarms in two weeks that are put up with, above 0 up to 14; "
                "null for the budget in force."
            ),
        ] = None,
    ) -> QualityBacktest | None:
        found = await resolve.run(info.context, urn, metric, column, days, alerts_per_fortnight)
        return QualityBacktest.of(found)
