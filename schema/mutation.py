"""Root fields that change something, with the failures that a caller can act on."""

from datetime import datetime
from typing import Annotated, TypeAlias

import strawberry

from dataspoke.quality.model import FeedbackKind
from dataspoke.resolvers import alerts as resolve_alerts
from dataspoke.resolvers import quality as resolve_quality
from dataspoke.resolvers import runs as resolve_runs
from dataspoke.schema.alert import QualityAlert
from dataspoke.schema.failure import (
    ConflictFailure,
    ForbiddenFailure,
    InvalidInputFailure,
    NotFoundFailure,
)
from dataspoke.schema.info import Info
from dataspoke.schema.monitor import MonitorMutation
from dataspoke.schema.notifications import NotificationMutation
from dataspoke.schema.rules import RuleMutation
from dataspoke.schema.run import QualityRun, RunMutation
from dataspoke.schema.sla import SlaMutation


@strawberry.type(description="Scans wait for a worker.")
class ScanRequested:
    jobs: int = strawberry.field(
        description="How many jobs that is: one for each dataset, or one that lists them all."
    )
    run: QualityRun | None = strawberry.field(
        description="What scans all of them, to be followed; null where some were named."
    )


@strawberry.type(description="Somebody has taken up an alert.")
class AlertAcknowledged:
    alert: QualityAlert = strawberry.field(description="The alert as it is now.")


@strawberry.type(description="Somebody has put an alert off.")
class AlertSnoozed:
    alert: QualityAlert = strawberry.field(description="The alert as it is now.")


@strawberry.type(description="Somebody has ended an alert.")
class AlertClosed:
    alert: QualityAlert = strawberry.field(description="The alert as it is now.")


@strawberry.type(description="What somebody says of an alert is kept.")
class AlertAssessed:
    alert: QualityAlert = strawberry.field(description="The alert as it is now.")


RequestScanResult: TypeAlias = Annotated[
    ScanRequested | ForbiddenFailure | NotFoundFailure | InvalidInputFailure,
    strawberry.union("RequestScanResult", description="What came of asking for scans."),
]
AcknowledgeAlertResult: TypeAlias = Annotated[
    AlertAcknowledged | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("AcknowledgeAlertResult", description="What came of taking up an alert."),
]
SnoozeAlertResult: TypeAlias = Annotated[
    AlertSnoozed | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("SnoozeAlertResult", description="What came of putting an alert off."),
]
CloseAlertResult: TypeAlias = Annotated[
    AlertClosed | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("CloseAlertResult", description="What came of ending an alert."),
]
AssessAlertResult: TypeAlias = Annotated[
    AlertAssessed | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("AssessAlertResult", description="What came of judging an alert."),
]

AlertId: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="The alert's id.")]


@strawberry.type(description="What can be changed.")
class Mutation(MonitorMutation, NotificationMutation, RunMutation, RuleMutation, SlaMutation):
    @strawberry.mutation(
        description="Scans datasets soon. The caller must be allowed to edit their assertions, or "
        "to manage DataHub where all are to be scanned."
    )
    async def request_scan(
        self,
        info: Info,
        urns: Annotated[
            list[str] | None,
            strawberry.argument(description="Datasets to scan, at most 1,000; null for all."),
        ] = None,
    ) -> RequestScanResult | None:
        if urns is None:
            run = await resolve_runs.request(info.context)
            return ScanRequested(jobs=1, run=QualityRun.of(run))
        jobs = await resolve_quality.request_scan(info.context, urns)
        return ScanRequested(jobs=jobs, run=None)

    @strawberry.mutation(
        description="Takes up an alert in the caller's name. The caller must be allowed to edit "
        "the dataset's assertions."
    )
    async def acknowledge_alert(
        self,
        info: Info,
        id: AlertId,  # noqa: A002
    ) -> AcknowledgeAlertResult | None:
        alert = await resolve_alerts.acknowledge(info.context, id)
        return AlertAcknowledged(alert=QualityAlert.of(alert))

    @strawberry.mutation(
        description="Keeps an alert quiet until a time; it opens again when that is over, unless "
        "it has ended. The caller must be allowed to edit the dataset's assertions."
    )
    async def snooze_alert(
        self,
        info: Info,
        id: AlertId,  # noqa: A002
        until: Annotated[
            datetime, strawberry.argument(description="Until when, at most 90 days ahead.")
        ],
    ) -> SnoozeAlertResult | None:
        alert = await resolve_alerts.snooze(info.context, id, until)
        return AlertSnoozed(alert=QualityAlert.of(alert))

    @strawberry.mutation(
        description="Ends an alert; the fault that it is about opens no other. The caller must be "
        "allowed to edit the dataset's assertions."
    )
    async def close_alert(
        self,
        info: Info,
        id: AlertId,  # noqa: A002
    ) -> CloseAlertResult | None:
        alert = await resolve_alerts.close(info.context, id)
        return AlertClosed(alert=QualityAlert.of(alert))

    @strawberry.mutation(
        description="Says of an alert whether it was right; later verdicts heed it. What was no "
        "fault is closed. The caller must be allowed to edit the dataset's assertions."
    )
    async def assess_alert(
        self,
        info: Info,
        id: AlertId,  # noqa: A002
        feedback: Annotated[FeedbackKind, strawberry.argument(description="What it was.")],
    ) -> AssessAlertResult | None:
        alert = await resolve_alerts.assess(info.context, id, feedback)
        return AlertAssessed(alert=QualityAlert.of(alert))
