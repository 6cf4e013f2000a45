"""Root fields that stream."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from dataspoke.resolvers import alerts as resolve_alerts
from dataspoke.schema.alert import QualityAlertChange
from dataspoke.schema.info import Info
from dataspoke.schema.run import RunSubscription


@strawberry.type(description="What can be followed live.")
class Subscription(RunSubscription):
    @strawberry.subscription(
        description="Alerts as they are raised, changed and ended, on datasets whose "
        "profiles the caller may view."
    )
    async def quality_alerts(
        self,
        info: Info,
        urns: Annotated[
            list[str] | None,
            strawberry.argument(description="Datasets to follow, at most 1,000; null for all."),
        ] = None,
        after: Annotated[
            str | None,
            strawberry.argument(
                description="First replay what changed after this cursor; null for only what "
                "changes from now on."
            ),
        ] = None,
    ) -> AsyncGenerator[QualityAlertChange | None, None]:
        async with aclosing(resolve_alerts.changes(info.context, urns, after)) as changes:
            async for change in changes:
                yield QualityAlertChange.of(change)
