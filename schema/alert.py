"""Alerts: a check that failed."""

from datetime import datetime

import strawberry

from dataspoke.quality import model
from dataspoke.quality.model import AlertState, FeedbackKind, Metric, Severity
from dataspoke.resolvers import alerts as resolve
from dataspoke.resolvers import notifications as resolve_notifications
from dataspoke.schema.check import QualityCheck
from dataspoke.schema.connection import Connection, edges, page_info
from dataspoke.schema.enum import describe
from dataspoke.schema.info import Info
from dataspoke.schema.notifications import NotificationDelivery
from dataspoke.schema.reference import DatasetReference, dataset

describe(
    AlertState,
    name="QualityAlertState",
    description="How far an alert has come.",
    values={
        "OPEN": "The check fails and nobody has taken it up.",
        "ACKNOWLEDGED": "Somebody has taken it up; the check still fails.",
        "SNOOZED": "Somebody has put it off; it opens again when that time is over.",
        "RESOLVED": "The check passes again.",
        "CLOSED": "Somebody has ended it.",
    },
)
describe(
    FeedbackKind,
    name="QualityFeedback",
    description="What a person says of an alert.",
    values={
        "FALSE_POSITIVE": "Nothing was wrong: what was seen is usual.",
        "REAL": "It was a fault: what was seen must not count as usual.",
        "EXPECTED_CHANGE": "The change was meant, and what is seen since is the new normal.",
    },
)


@strawberry.type(description="What depends on a dataset.")
class QualityImpact:
    downstream_datasets: int = strawberry.field(
        description="Datasets made from it, over any number of steps."
    )
    complete: bool = strawberry.field(
        description="False where there are more of them than were counted."
    )
    queries_last_month: int | None = strawberry.field(
        description="Queries in the last thirty days; null where the caller may not view its usage."
    )
    owner_urns: list[str] = strawberry.field(description="DataHub's urns of its owners.")


@strawberry.type(
    description="A check that failed, from the first failing observation to the first passing one."
)
class QualityAlert:
    alert: strawberry.Private[model.Alert]

    id: strawberry.ID = strawberry.field(description="Identifies the alert.")
    check: QualityCheck = strawberry.field(description="What has failed.")
    metric: Metric | None = strawberry.field(
        description="What is out of range; null for a rule. The same as in `check`."
    )
    severity: Severity = strawberry.field(description="How bad it is.")
    state: AlertState = strawberry.field(description="How far it has come.")
    message: str = strawberry.field(description="What happened, in a sentence.")
    opened_at: datetime = strawberry.field(description="When the alert was raised.")
    observed_at: datetime = strawberry.field(
        description="When the first failing value was observed."
    )
    value: float = strawberry.field(description="The failing value, in the check's unit.")
    expected: float | None = strawberry.field(
        description="The most likely value; null for a rule that has none."
    )
    low: float | None = strawberry.field(
        description="Lower end of the expected range; null where it has none."
    )
    high: float | None = strawberry.field(
        description="Upper end of the expected range; null where it has none."
    )
    score: float | None = strawberry.field(
        description="How unusual the value is among the series' own past, 0 (usual) to 1 (never "
        "seen); null for a rule."
    )
    acknowledged_by: str | None = strawberry.field(
        description="DataHub's urn of the user who took it up; null while nobody has."
    )
    acknowledged_at: datetime | None = strawberry.field(
        description="When it was taken up; null while nobody has."
    )
    snoozed_until: datetime | None = strawberry.field(
        description="When it opens again; null while it is not snoozed."
    )
    ended_at: datetime | None = strawberry.field(
        description="When it was resolved or closed; null while it is active."
    )
    closed_by: str | None = strawberry.field(
        description="DataHub's urn of the user who closed it; null where nobody has."
    )
    reopened: int = strawberry.field(
        description="How often the check failed again soon after it had passed."
    )
    feedback: FeedbackKind | None = strawberry.field(
        description="What somebody has said of it; null where nobody has."
    )
    cause_id: strawberry.ID | None = strawberry.field(
        description="The alert on this dataset or one upstream that explains it; null where it "
        "stands for itself."
    )
    dataset: DatasetReference | None = strawberry.field(description="The dataset it is about.")

    @strawberry.field(
        description="Active alerts, on this dataset and those downstream, that it explains, of "
        "those the caller may see, newest first."
    )
    async def victims(self, info: Info) -> list["QualityAlert"] | None:
        found = await resolve.explained_by(info.context, self.alert.id)
        return [QualityAlert.of(alert) for alert in found]

    @strawberry.field(
        description="What was sent of it, or is to be, oldest first; null where the caller may "
        "not edit the dataset's assertions."
    )
    async def deliveries(self, info: Info) -> list[NotificationDelivery] | None:
        found = await resolve_notifications.deliveries(info.context, self.alert)
        return None if found is None else [NotificationDelivery.of(one) for one in found]

    @strawberry.field(
        description="What depends on the dataset; null where the caller may not view its profile."
    )
    async def impact(self, info: Info) -> QualityImpact | None:
        found = await resolve.impact(info.context, self.alert.urn)
        if found is None:
            return None
        return QualityImpact(
            downstream_datasets=found.downstream,
            complete=found.complete,
            queries_last_month=found.queries,
            owner_urns=list(found.owners),
        )

    @classmethod
    def of(cls, alert: model.Alert) -> "QualityAlert":
        return cls(
            alert=alert,
            id=strawberry.ID(str(alert.id)),
            check=QualityCheck.of(alert.check),
            metric=alert.check.metric,
            severity=alert.severity,
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
            snoozed_until=alert.snoozed_until,
            ended_at=alert.ended_at,
            closed_by=alert.closed_by,
            reopened=alert.reopened,
            feedback=alert.feedback,
            cause_id=None if alert.cause is None else strawberry.ID(str(alert.cause)),
            dataset=dataset(alert.urn),
        )


@strawberry.type(description="An alert after one of its changes.")
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
