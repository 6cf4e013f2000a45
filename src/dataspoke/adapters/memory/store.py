import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from dataspoke.adapters.memory.jobs import JobTable
from dataspoke.adapters.memory.knowledge import (
    KnowledgeReads,
    KnowledgeTable,
    KnowledgeWrites,
)
from dataspoke.adapters.memory.models import ModelReads, ModelWrites
from dataspoke.adapters.memory.notifications import (
    NotificationReads,
    NotificationTable,
    NotificationWrites,
)
from dataspoke.adapters.memory.retention import Retention
from dataspoke.adapters.memory.rules import RuleReads, RuleTable, RuleWrites
from dataspoke.adapters.memory.runs import RunReads, RunWrites
from dataspoke.adapters.memory.sla import SlaReads, SlaTable, SlaWrites
from dataspoke.errors import Conflict, LeaseLost
from dataspoke.health.model import HealthScore
from dataspoke.ports.clock import Clock
from dataspoke.ports.store import AlertQuery, IndexRequest, Lease, NewJob
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    Check,
    DatasetQuality,
    Feedback,
    MonitorSettings,
    Result,
    StoredModel,
)


class Rejected(NamedTuple):
    stream: str
    event: str
    error: str
    at: datetime


@dataclass
class Tables:
    """Everything that is kept; the values are immutable, so that a copy need not be deep."""

    jobs: JobTable = field(default_factory=JobTable)
    results: dict[tuple[str, Check, datetime], Result] = field(default_factory=dict)
    verdicts: dict[str, DatasetQuality] = field(default_factory=dict)
    alerts: dict[UUID, Alert] = field(default_factory=dict)
    changes: list[AlertChange] = field(default_factory=list)
    feedback: dict[tuple[str, Check, datetime], Feedback] = field(default_factory=dict)
    monitors: dict[str, MonitorSettings] = field(default_factory=dict)
    sla: SlaTable = field(default_factory=SlaTable)
    rules: RuleTable = field(default_factory=RuleTable)
    knowledge: KnowledgeTable = field(default_factory=KnowledgeTable)
    health: dict[str, HealthScore] = field(default_factory=dict)
    health_history: list[HealthScore] = field(default_factory=list)
    notifications: NotificationTable = field(default_factory=NotificationTable)
    index: dict[str, IndexRequest] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    models: dict[tuple[str, Check], StoredModel] = field(default_factory=dict)
    audit: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    sequence: int = 0

    def copy(self) -> "Tables":
        return replace(
            self,
            jobs=self.jobs.copy(),
            results=dict(self.results),
            verdicts=dict(self.verdicts),
            alerts=dict(self.alerts),
            changes=list(self.changes),
            feedback=dict(self.feedback),
            monitors=dict(self.monitors),
            sla=self.sla.copy(),
            rules=self.rules.copy(),
            knowledge=self.knowledge.copy(),
            health=dict(self.health),
            health_history=list(self.health_history),
            notifications=self.notifications.copy(),
            index=dict(self.index),
            cursors=dict(self.cursors),
            rejected=list(self.rejected),
            models=dict(self.models),
            audit=list(self.audit),
        )

    def next(self) -> int:
        self.sequence += 1
        return self.sequence


class _Transaction(
    KnowledgeWrites, NotificationWrites, RunWrites, ModelWrites, RuleWrites, SlaWrites
):
    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._notifications = tables.notifications
        self._rules = tables.rules
        self._sla = tables.sla
        self._now = now

    async def add_jobs(self, jobs: Sequence[NewJob]) -> None:
        for job in jobs:
            self._tables.jobs.add(job, self._now)

    async def save_results(self, results: Sequence[Result]) -> None:
        for result in results:
            key = (result.urn, result.check, result.judgement.point.time)
            self._tables.results.setdefault(key, result)

    async def save_quality(self, verdicts: Sequence[DatasetQuality]) -> None:
        for verdict in verdicts:
            known = self._tables.verdicts.get(verdict.urn)
            if known is None or known.scanned_at <= verdict.scanned_at:
                self._tables.verdicts[verdict.urn] = verdict

    async def save_alerts(self, alerts: Sequence[Alert]) -> Sequence[AlertChange]:
        changes = []
        for alert in alerts:
            known = next(
                (a for a in self._tables.alerts.values() if a.dedupe_key == alert.dedupe_key), None
            )
            newest = 0 if known is None else known.version
            if alert.version != newest or (known is not None and known.id != alert.id):
                continue
            alert = replace(alert, version=alert.version + 1)
            self._tables.alerts[alert.id] = alert
            changes.append(AlertChange(self._tables.next(), alert))
        self._tables.changes.extend(changes)
        return changes

    async def save_feedback(self, feedback: Sequence[Feedback]) -> None:
        for said in feedback:
            self._tables.feedback[said.urn, said.check, said.point_time] = said

    async def save_monitor(self, settings: MonitorSettings) -> None:
        known = self._tables.monitors.get(settings.urn)
        if settings.version != (0 if known is None else known.version):
            raise Conflict(
                f"The monitors of {settings.urn} have been changed meanwhile: read them again."
            )
        saved = replace(settings, version=settings.version + 1)
        self._tables.monitors[settings.urn] = saved

    async def save_health(self, scores: Sequence[HealthScore]) -> None:
        for score in scores:
            self._tables.health_history.append(score)
            known = self._tables.health.get(score.urn)
            if known is None or known.scored_at <= score.scored_at:
                self._tables.health[score.urn] = score

    async def request_index(self, urns: Sequence[str], *, background: bool = False) -> None:
        # A request that is renewed keeps its place in the line: a dict keeps a key's position.
        for urn in urns:
            known = self._tables.index.get(urn)
            waits = background and (known is None or known.background)
            self._tables.index[urn] = IndexRequest(urn, self._tables.next(), waits)

    async def finish_index(self, requests: Sequence[IndexRequest]) -> Sequence[str]:
        finished = [request.urn for request in requests if request.urn not in self._tables.index]
        for request in requests:
            known = self._tables.index.get(request.urn)
            if known is not None and known.version <= request.version:
                del self._tables.index[request.urn]
        return finished

    async def save_cursor(self, stream: str, cursor: str, previous: str | None) -> None:
        if self._tables.cursors.get(stream) != previous:
            raise Conflict(f"The cursor of {stream} has been moved by another consumer.")
        self._tables.cursors[stream] = cursor

    async def reject_event(self, stream: str, event: str, error: str) -> None:
        self._tables.rejected.append(Rejected(stream, event, error, self._now))

    async def forget(self, urns: Sequence[str]) -> None:
        tables, gone = self._tables, set(urns)
        tables.results = {k: v for k, v in tables.results.items() if v.urn not in gone}
        tables.verdicts = {k: v for k, v in tables.verdicts.items() if k not in gone}
        tables.alerts = {k: v for k, v in tables.alerts.items() if v.urn not in gone}
        tables.changes = [c for c in tables.changes if c.alert.urn not in gone]
        tables.notifications.forget(tables.alerts)
        tables.feedback = {k: v for k, v in tables.feedback.items() if v.urn not in gone}
        tables.monitors = {k: v for k, v in tables.monitors.items() if k not in gone}
        tables.rules.forget(urns)
        await self.remove_sla_targets(urns)
        tables.health = {k: v for k, v in tables.health.items() if k not in gone}
        tables.models = {k: v for k, v in tables.models.items() if v.urn not in gone}
        for urn in urns:
            tables.knowledge.snapshots.pop(urn, None)
        tables.health_history = [s for s in tables.health_history if s.urn not in gone]

    async def audit(self, actor: str, action: str, subjects: Sequence[str]) -> None:
        self._tables.audit.append((actor, action, tuple(subjects)))


class MemoryStore(
    KnowledgeReads, NotificationReads, RunReads, ModelReads, Retention, RuleReads, SlaReads
):
    """The Store port in memory, with the semantics of the real one; time is the clock's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tables = Tables()
        self._writing = asyncio.Lock()

    @property
    def _sla(self) -> SlaTable:
        return self._tables.sla

    @property
    def _rules(self) -> RuleTable:
        return self._tables.rules

    @property
    def _all_results(self) -> Mapping[tuple[str, Check, datetime], Result]:
        return self._tables.results

    @property
    def audit_log(self) -> Sequence[tuple[str, str, tuple[str, ...]]]:
        """Who did what to which ids, oldest first."""
        return tuple(self._tables.audit)

    @property
    def rejected_events(self) -> Sequence[tuple[str, str, str]]:
        """Stream, event and error of each event that could not be taken, oldest first."""
        return tuple(rejected[:3] for rejected in self._tables.rejected)

    @property
    def open_jobs(self) -> Sequence[NewJob]:
        """The READY jobs as they were added, oldest first."""
        return tuple(self._tables.jobs.ready())

    @property
    def _notifications(self) -> NotificationTable:
        return self._tables.notifications

    @asynccontextmanager
    async def jobs(self) -> AsyncIterator[tuple[JobTable, datetime]]:
        """Give the job rows to the Jobs port, with nobody else writing meanwhile."""
        async with self._writing:
            yield self._tables.jobs, self._clock.now()

    @asynccontextmanager
    async def transaction(self, lease: Lease | None = None) -> AsyncIterator[_Transaction]:
        async with self._writing:
            tables = self._tables.copy()
            yield _Transaction(tables, self._clock.now())
            if lease is not None and not tables.jobs.finish(lease, self._clock.now()):
                raise LeaseLost(f"Job {lease.job_id} is no longer this worker's.")
            self._tables = tables

    async def quality_of(self, urns: Sequence[str]) -> Mapping[str, DatasetQuality]:
        verdicts = self._tables.verdicts
        return {urn: verdicts[urn] for urn in urns if urn in verdicts}

    async def last_point_times(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, datetime]]:
        times: dict[str, dict[Check, datetime]] = {}
        for urn, check, time in self._tables.results:
            if urn in urns:
                newest = times.setdefault(urn, {})
                newest[check] = max(time, newest.get(check, time))
        return times

    async def results_for(self, urns: Sequence[str], limit: int) -> Mapping[str, Sequence[Result]]:
        newest: dict[str, list[Result]] = {}
        taken: dict[tuple[str, Check], int] = defaultdict(int)
        for (urn, check, _), result in sorted(
            self._tables.results.items(), key=lambda item: item[0][2], reverse=True
        ):
            shown = self._tables.verdicts.get(urn)
            if urn not in urns or shown is None or check not in {r.check for r in shown.results}:
                continue
            if taken[urn, check] < limit:
                taken[urn, check] += 1
                newest.setdefault(urn, []).append(result)
        return newest

    async def history(
        self, urn: str, check: Check, since: datetime, until: datetime, limit: int
    ) -> Sequence[Result]:
        found = [
            result
            for (known, its_check, time), result in self._tables.results.items()
            if known == urn and its_check == check and since <= time <= until
        ]
        return sorted(found, key=lambda result: result.judgement.point.time)[-limit:]

    async def active_alerts(self, urns: Sequence[str] | None) -> Mapping[str, Sequence[Alert]]:
        active: dict[str, list[Alert]] = {}
        for alert in self._newest_alerts():
            if (urns is None or alert.urn in urns) and alert.active:
                active.setdefault(alert.urn, []).append(alert)
        return active

    async def latest_alerts(self, urns: Sequence[str]) -> Mapping[str, Mapping[Check, Alert]]:
        latest: dict[str, dict[Check, Alert]] = {}
        for alert in self._newest_alerts():
            if alert.urn in urns:
                latest.setdefault(alert.urn, {}).setdefault(alert.check, alert)
        return latest

    async def feedback_on(self, urns: Sequence[str]) -> Mapping[str, Sequence[Feedback]]:
        feedback: dict[str, list[Feedback]] = {}
        for said in sorted(self._tables.feedback.values(), key=lambda said: said.point_time):
            if said.urn in urns:
                feedback.setdefault(said.urn, []).append(said)
        return feedback

    async def monitors_of(self, urns: Sequence[str]) -> Mapping[str, MonitorSettings]:
        monitors = self._tables.monitors
        return {urn: monitors[urn] for urn in urns if urn in monitors}

    async def alert(self, alert_id: UUID) -> Alert | None:
        return self._tables.alerts.get(alert_id)

    async def alerts_by_id(self, alert_ids: Sequence[UUID]) -> Sequence[Alert]:
        return [a for a in self._newest_alerts() if a.id in alert_ids]

    async def alerts_explained_by(self, causes: Sequence[UUID]) -> Sequence[Alert]:
        return [a for a in self._newest_alerts() if a.active and a.cause in causes]

    async def alerts(self, query: AlertQuery) -> Sequence[Alert]:
        return [
            alert
            for alert in self._newest_alerts()
            if (query.urns is None or alert.urn in query.urns)
            and (query.states is None or alert.state in query.states)
            and (query.before is None or (alert.opened_at, alert.id) < query.before)
        ][: query.limit]

    def _newest_alerts(self) -> Sequence[Alert]:
        return sorted(self._tables.alerts.values(), key=lambda a: (a.opened_at, a.id), reverse=True)

    async def alert_changes(
        self, after: int, urns: Sequence[str] | None, limit: int
    ) -> Sequence[AlertChange]:
        return [
            change
            for change in self._tables.changes
            if change.cursor > after and (urns is None or change.alert.urn in urns)
        ][:limit]

    async def last_alert_cursor(self) -> int:
        return self._tables.changes[-1].cursor if self._tables.changes else 0

    async def health_of(self, urns: Sequence[str]) -> Mapping[str, HealthScore]:
        health = self._tables.health
        return {urn: health[urn] for urn in urns if urn in health}

    async def health_ranking(
        self, ascending: bool, after: tuple[float, str] | None, limit: int
    ) -> Sequence[HealthScore]:
        def follows(score: HealthScore) -> bool:
            if after is None:
                return True
            place = (score.value, score.urn)
            return place > after if ascending else place < after

        return sorted(
            filter(follows, self._tables.health.values()),
            key=lambda score: (score.value, score.urn),
            reverse=not ascending,
        )[:limit]

    async def index_requests(
        self, limit: int, *, background: bool = False
    ) -> Sequence[IndexRequest]:
        asked = [r for r in self._tables.index.values() if r.background == background]
        return asked[:limit]

    async def waiting_index_requests(self) -> int:
        return len(self._tables.index)

    async def known_datasets(self) -> frozenset[str]:
        return frozenset(self._tables.verdicts) | frozenset(self._tables.health)

    async def cursor(self, stream: str) -> str | None:
        return self._tables.cursors.get(stream)

    async def ping(self) -> None:
        return None
