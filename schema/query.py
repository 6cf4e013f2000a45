"""Root fields that read. All are nullable: one that fails must not take the others along."""

from typing import Annotated

import strawberry

from dataspoke.quality.model import AlertState
from dataspoke.resolvers import alerts as resolve_alerts
from dataspoke.resolvers import health as resolve_health
from dataspoke.resolvers import status as resolve_status
from dataspoke.schema.alert import QualityAlert, alert_connection
from dataspoke.schema.backtest import BacktestQuery
from dataspoke.schema.connection import After, Connection, First
from dataspoke.schema.health import (
    HealthLeaderboardEntry,
    HealthLeaderboardOrder,
    leaderboard_connection,
)
from dataspoke.schema.info import Info
from dataspoke.schema.notifications import NotificationQuery
from dataspoke.schema.rules import RuleQuery
from dataspoke.schema.run import RunQuery
from dataspoke.schema.search import KnowledgeQuery
from dataspoke.schema.sla import SlaQuery
from dataspoke.schema.sql_context import SqlContextQuery
from dataspoke.schema.status import DataspokeStatus
from dataspoke.schema.verifier import VerifierQuery


@strawberry.type(description="What can be read.")
class Query(
    NotificationQuery,
    RunQuery,
    RuleQuery,
    BacktestQuery,
    SlaQuery,
    KnowledgeQuery,
    SqlContextQuery,
    VerifierQuery,
):
    @strawberry.field(
        description="Alerts on datasets whose profiles the caller may view, newest first."
    )
    async def quality_alerts(
        self,
        info: Info,
        urns: Annotated[
            list[str] | None,
            strawberry.argument(description="Datasets to look at, at most 1,000; null for all."),
        ] = None,
        states: Annotated[
            list[AlertState] | None,
            strawberry.argument(description="States to keep; null for all."),
        ] = None,
        first: First = 20,
        after: After = None,
    ) -> Connection[QualityAlert] | None:
        page = await resolve_alerts.listed(info.context, urns, states, first, after)
        return alert_connection(page, after)

    @strawberry.field(
        description="Datasets by the health of their metadata, of those the caller may see."
    )
    async def health_leaderboard(
        self,
        info: Info,
        order: Annotated[
            HealthLeaderboardOrder, strawberry.argument(description="Which end comes first.")
        ] = HealthLeaderboardOrder.LOWEST_FIRST,
        first: First = 20,
        after: After = None,
    ) -> Connection[HealthLeaderboardEntry] | None:
        page = await resolve_health.ranking(
            info.context,
            ascending=order is HealthLeaderboardOrder.LOWEST_FIRST,
            first=first,
            after=after,
        )
        return leaderboard_connection(page, after)

    @strawberry.field(description="What of this DataSpoke installation works and what does not.")
    async def dataspoke_status(self, info: Info) -> DataspokeStatus | None:
        return DataspokeStatus.of(await resolve_status.status(info.context))
