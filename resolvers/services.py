"""What the API asks of the features: one Protocol each, and all of them together."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from dataspoke.health.model import HealthScore, RankingPage
from dataspoke.knowledge.model import Hit, SearchFilters, SearchPage
from dataspoke.ports.hub import Actor
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    AlertPage,
    AlertState,
    DatasetQuality,
    Result,
)
from dataspoke.status import Component, Status


class Quality(Protocol):
    """Verdicts and alerts. What the actor may not see is absent, never an error."""

    async def verdicts_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, DatasetQuality]: ...

    async def results_for(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, Sequence[Result]]: ...

    async def active_alerts_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, Sequence[Alert]]: ...

    async def alerts(
        self,
        actor: Actor,
        urns: Sequence[str] | None,
        states: Sequence[AlertState] | None,
        first: int,
        after: str | None,
    ) -> AlertPage: ...

    async def acknowledge(self, actor: Actor, alert_id: UUID) -> Alert: ...

    async def request_scan(
        self, actor: Actor, urns: Sequence[str] | None, traceparent: str | None
    ) -> int: ...

    def stream(
        self, actor: Actor, urns: Sequence[str] | None, after: int | None
    ) -> AsyncGenerator[AlertChange, None]: ...


class Health(Protocol):
    """Metadata health. What the actor may not see is absent, never an error."""

    async def scores_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, HealthScore]: ...

    async def ranking(
        self, actor: Actor, ascending: bool, first: int, after: str | None
    ) -> RankingPage: ...


class Knowledge(Protocol):
    """Search. What the actor may not see is absent, never an error."""

    async def search(
        self, actor: Actor, question: str, filters: SearchFilters, first: int, after: str | None
    ) -> SearchPage: ...

    async def similar_to(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, tuple[Hit, ...]]: ...


class Operations(Protocol):
    """The state of this installation."""

    async def status(self, actor: Actor) -> Status: ...

    async def ready(self) -> Component: ...


@dataclass(frozen=True, slots=True)
class Services:
    quality: Quality
    health: Health
    knowledge: Knowledge
    operations: Operations
