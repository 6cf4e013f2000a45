"""Root fields that change something, with the failures that a caller can act on."""

from typing import Annotated, TypeAlias

import strawberry

from dataspoke.resolvers import alerts as resolve_alerts
from dataspoke.resolvers import quality as resolve_quality
from dataspoke.schema.alert import QualityAlert
from dataspoke.schema.failure import (
    ConflictFailure,
    ForbiddenFailure,
    InvalidInputFailure,
    NotFoundFailure,
)
from dataspoke.schema.info import Info


@strawberry.type(description="Scans wait for a worker.")
class ScanRequested:
    jobs: int = strawberry.field(
        description="How many jobs that is: one for each dataset, or one that adds those for all."
    )


@strawberry.type(description="Somebody has taken up an alert.")
class AlertAcknowledged:
    alert: QualityAlert = strawberry.field(description="The alert as it is now.")


RequestScanResult: TypeAlias = Annotated[
    ScanRequested | ForbiddenFailure | NotFoundFailure | InvalidInputFailure,
    strawberry.union("RequestScanResult", description="What came of asking for scans."),
]
AcknowledgeAlertResult: TypeAlias = Annotated[
    AlertAcknowledged | ForbiddenFailure | NotFoundFailure | ConflictFailure | InvalidInputFailure,
    strawberry.union("AcknowledgeAlertResult", description="What came of taking up an alert."),
]


@strawberry.type(description="What can be changed.")
class Mutation:
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
        return ScanRequested(jobs=await resolve_quality.request_scan(info.context, urns))

    @strawberry.mutation(
        description="Takes up an alert in the caller's name. The caller must be allowed to edit "
        "the dataset's assertions."
    )
    async def acknowledge_alert(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The alert's id.")],  # noqa: A002
    ) -> AcknowledgeAlertResult | None:
        alert = await resolve_alerts.acknowledge(info.context, id)
        return AlertAcknowledged(alert=QualityAlert.of(alert))
