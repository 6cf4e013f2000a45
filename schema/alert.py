"""Alerts: a metric that left its expected range."""

from datetime import datetime

import strawberry

from dataspoke.quality import model
from dataspoke.quality.model import AlertState, Metric
from dataspoke.schema.connection import Connection, edges, page_info
from dataspoke.schema.enum import describe
from dataspoke.schema.reference import DatasetReference, dataset

describe(
    Metric,
    name="QualityMetric",
    description="What is watched on a dataset.",
    values={
        "ROW_COUNT": "Rows in the dataset, from its profiles.",
        "FRESHNESS": "Hours since the dataset was last updated, from its operations.",
    },
)
describe(
    AlertState,
    name="QualityAlertState",
    description="How far an alert has come.",
    values={
        "OPEN": "The metric is out of range and nobody has taken it up.",
        "ACKNOWLEDGED": "Somebody has taken it up; the metric is still out of range.",
        "RESOLVED": "The metric is back in its range.",
    },
)


@strawberry.type(
    description="A metric that left its expected range, from the first failing observation to "
    "the first passing one."
)
class QualityAlert:
    id: strawberry.ID = strawberry.field(description="Identifies the alert.")
    metric: Metric = strawberry.field(description="What is out of range.")
    state: AlertState = strawberry.field(description="How far it has come.")
    message: str = strawberry.field(description="What happened, in a sentence.")
    opened_at: datetime = strawberry.field(description="When the alert was raised.")
    observed_at: datetime = strawberry.field(
        description="When the first failing value was observed."
    )
    value: float = strawberry.field(description="The failing value, in the metric's unit.")
    expected: float = strawberry.field(description="The most likely value.")
    low: float = strawberry.field(description="Lower end of the expected range.")
    high: float = strawberry.field(description="Upper end of the expected range.")
    score: float = strawberry.field(
        description="How unusual the value is among the series' own past, 0 (usual) to 1 (never "
        "seen)."
    )
    acknowledged_by: str | None = strawberry.field(
        description="DataHub's urn of the user who took it up; null while nobody has."
    )
    acknowledged_at: datetime | None = strawberry.field(
        description="When it was taken up; null while nobody has."
    )
    resolved_at: datetime | None = strawberry.field(
        description="When the metric was back in its range; null while it is not."
    )
    dataset: DatasetReference | None = strawberry.field(description="The dataset it is about.")

    @classmethod
    def of(cls, alert: model.Alert) -> "QualityAlert":
        return cls(
            id=strawberry.ID(str(alert.id)),
            metric=alert.metric,
            state=alert.state,
            message=alert.message,
            opened_at=alert.opened_at,
            observed_at=alert.observed_at,
            value=alert.value,
            expected=alert.expected,
            low=alert.low,
            high=alert.high,
            score=alert.score,
            acknowledged_by=alert.acknowledged_by,
            acknowledged_at=alert.acknowledged_at,
            resolved_at=alert.resolved_at,
            dataset=dataset(alert.urn),
        )


@strawberry.type(description="An alert after it was raised, acknowledged or resolved.")
class QualityAlertChange:
    cursor: str = strawberry.field(
        description="Place of this change in the stream: pass the last one received as `after` "
        "to lose nothing when reconnecting."
    )
    alert: QualityAlert | None = strawberry.field(description="The alert as it is now.")

    @classmethod
    def of(cls, change: model.AlertChange) -> "QualityAlertChange":
        return cls(cursor=str(change.cursor), alert=QualityAlert.of(change.alert))


def alert_connection(page: model.AlertPage, after: str | None) -> Connection[QualityAlert]:
    return Connection(
        edges=edges(page.alerts, page.cursors, QualityAlert.of),
        page_info=page_info(page.cursors, has_next=page.has_next, after=after),
    )
