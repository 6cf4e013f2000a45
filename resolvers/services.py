"""What the API asks of the features: one Protocol each, and all of them together."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from dataspoke.health.model import HealthScore, RankingPage
from dataspoke.knowledge.model import Difference, Hit, Neighbourhood, SearchFilters, SearchPage
from dataspoke.knowledge.sql_context import SqlContext
from dataspoke.knowledge.verifier.model import ContextVerdict, VerifyRequest
from dataspoke.ports.hub import Actor
from dataspoke.ports.runs import Run
from dataspoke.quality.backtest import Backtest
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    AlertPage,
    AlertState,
    Check,
    DatasetQuality,
    FeedbackKind,
    Impact,
    MonitorSettings,
    Result,
)
from dataspoke.quality.notifications.model import Channel, Delivery, Preferences, Target
from dataspoke.quality.rules.model import Change, DryRun, Kind, Rule, RulePage, RuleSpec
from dataspoke.quality.runs import RunPage
from dataspoke.quality.sla.model import Sla, SlaBacktest, SlaTarget
from dataspoke.status import Component, Status


class Quality(Protocol):
    """Verdicts. What the actor may not see is absent, never an error."""

    async def verdicts_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, DatasetQuality]: ...

    async def results_for(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, Sequence[Result]]: ...

    async def history_of(
        self,
        actor: Actor,
        urn: str,
        check: Check,
        since: datetime | None,
        until: datetime | None,
        limit: int,
    ) -> Sequence[Result]: ...

    async def request_scan(
        self, actor: Actor, urns: Sequence[str], traceparent: str | None
    ) -> int: ...


class Runs(Protocol):
    """Scans of every dataset. Whoever is signed in may see them; managers change them."""

    async def request(self, actor: Actor, traceparent: str | None) -> Run: ...

    async def run(self, actor: Actor, run_id: UUID, /) -> Run | None: ...

    async def listed(self, actor: Actor, first: int, after: str | None, /) -> RunPage: ...

    async def cancel(self, actor: Actor, run_id: UUID) -> Run: ...

    async def resume(self, actor: Actor, run_id: UUID) -> Run: ...

    def progress(self, actor: Actor, run_id: UUID, /) -> AsyncGenerator[Run, None]: ...


class Alerts(Protocol):
    """Alerts. What the actor may not see is absent, never an error."""

    async def active_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, Sequence[Alert]]: ...

    async def listed(
        self,
        actor: Actor,
        urns: Sequence[str] | None,
        states: Sequence[AlertState] | None,
        first: int,
        after: str | None,
    ) -> AlertPage: ...

    async def explained_by(
        self, actor: Actor, causes: Sequence[UUID]
    ) -> Mapping[UUID, Sequence[Alert]]: ...

    async def impact_of(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Impact]: ...

    async def acknowledge(self, actor: Actor, alert_id: UUID) -> Alert: ...

    async def snooze(self, actor: Actor, alert_id: UUID, until: datetime) -> Alert: ...

    async def close(self, actor: Actor, alert_id: UUID) -> Alert: ...

    async def assess(self, actor: Actor, alert_id: UUID, kind: FeedbackKind) -> Alert: ...

    def stream(
        self, actor: Actor, urns: Sequence[str] | None, after: int | None
    ) -> AsyncGenerator[AlertChange, None]: ...


class Monitors(Protocol):
    """How datasets are watched. What the actor may not see is absent, never an error."""

    async def settings_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, MonitorSettings]: ...

    async def configure(self, actor: Actor, settings: MonitorSettings) -> MonitorSettings: ...


class Notifications(Protocol):
    """Channels, what people want to hear, and what was sent."""

    async def channels(self, actor: Actor) -> Sequence[Channel]: ...

    async def preferences_for(self, actor: Actor, team: str | None) -> Preferences: ...

    async def save_preferences(
        self, actor: Actor, team: str | None, wanted: Preferences
    ) -> Preferences: ...

    async def send_test(self, actor: Actor, target: Target) -> None: ...

    async def deliveries_for(
        self, actor: Actor, alerts: Sequence[Alert]
    ) -> Mapping[UUID, Sequence[Delivery]]: ...


class Rules(Protocol):
    """Rules. What the actor may not see is absent from lists, and not found else."""

    async def rules_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, Sequence[Rule]]: ...

    async def listed(
        self, actor: Actor, kinds: Sequence[Kind] | None, first: int, after: str | None
    ) -> RulePage: ...

    async def rule(self, actor: Actor, rule_id: UUID) -> Rule: ...

    async def results(self, actor: Actor, rule_id: UUID, limit: int) -> Sequence[Result]: ...

    async def create(self, actor: Actor, spec: RuleSpec) -> Rule: ...

    async def update(self, actor: Actor, rule_id: UUID, version: int, spec: RuleSpec) -> Rule: ...

    async def delete(self, actor: Actor, rule_id: UUID) -> Rule: ...

    async def apply(
        self,
        actor: Actor,
        specs: Sequence[RuleSpec],
        source: str,
        *,
        prune: bool,
        dry_run: bool,
    ) -> Sequence[Change]: ...

    async def dry_run(self, actor: Actor, spec: RuleSpec, over: timedelta) -> DryRun: ...


class Backtests(Protocol):
    """What monitors would have alerted on."""

    async def backtest(
        self,
        actor: Actor,
        urn: str,
        check: Check | None,
        days: int,
        alerts_per_fortnight: float | None,
    ) -> Backtest: ...


class Slas(Protocol):
    """Deadlines. What the actor may not see is absent, never an error."""

    async def slas_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Sla]: ...

    async def set_target(self, actor: Actor, target: SlaTarget) -> SlaTarget: ...

    async def remove_target(self, actor: Actor, urn: str) -> None: ...

    async def backtest(self, actor: Actor, target: SlaTarget) -> SlaBacktest: ...


class Health(Protocol):
    """Metadata health. What the actor may not see is absent, never an error."""

    async def scores_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, HealthScore]: ...

    async def ranking(
        self, actor: Actor, ascending: bool, first: int, after: str | None
    ) -> RankingPage: ...


class Search(Protocol):
    """Search. What the actor may not see is absent, never an error."""

    async def search(
        self,
        actor: Actor,
        question: str,
        filters: SearchFilters,
        first: int,
        after: str | None,
        *,
        interpret: bool = True,
        facets: bool = False,
    ) -> SearchPage: ...

    async def similar_to(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, tuple[Hit, ...]]: ...

    async def differences(
        self, actor: Actor, pairs: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Difference]: ...

    async def lineage_of(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, Neighbourhood]: ...


class SqlContexts(Protocol):
    """What a model writes SQL from. What the actor may not see is absent, never an error."""

    async def context_for(
        self, actor: Actor, question: str, platform: str | None, token_budget: int
    ) -> SqlContext: ...


class Verifier(Protocol):
    """Judges what is to be used. What the actor may not see is as what is not there."""

    async def verify(self, actor: Actor, request: VerifyRequest) -> ContextVerdict: ...


class Operations(Protocol):
    """The state of this installation."""

    async def status(self, actor: Actor) -> Status: ...

    async def ready(self) -> Component: ...


@dataclass(frozen=True, slots=True)
class Services:
    quality: Quality
    runs: Runs
    alerts: Alerts
    monitors: Monitors
    slas: Slas
    notifications: Notifications
    rules: Rules
    backtests: Backtests
    health: Health
    search: Search
    sql_contexts: SqlContexts
    verifier: Verifier
    operations: Operations
