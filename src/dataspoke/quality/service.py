"""Quality Control: scans, verdicts and alerts of datasets."""

import asyncio
import base64
import binascii
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from dataspoke.errors import Conflict, DependencyError, Forbidden, InvalidInput, NotFound
from dataspoke.ports.clock import Clock
from dataspoke.ports.compute import Compute
from dataspoke.ports.feed import Feed
from dataspoke.ports.hub import Access, Actor, Hub, Scores
from dataspoke.ports.store import AlertQuery, JobKind, Lease, NewJob, Store
from dataspoke.quality.alerts import transition
from dataspoke.quality.detectors import judge_dataset
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    AlertPage,
    AlertState,
    DatasetQuality,
    Metric,
    Result,
    Status,
)
from dataspoke.urns import require_dataset

_log = logging.getLogger(__name__)

# Two years show a season of the year twice.
_HISTORY = timedelta(days=730)
_JUDGING = timedelta(seconds=60)
_BATCH = 200
_CHANGES = 100


class QualityService:
    """Judges datasets, keeps the verdicts, and shows each caller what they may see.

    A verdict on row counts is shown to those who may view the dataset's profile; freshness asks
    for the right to view its operations as well.
    """

    def __init__(self, hub: Hub, store: Store, feed: Feed, compute: Compute, clock: Clock) -> None:
        self._hub = hub
        self._store = store
        self._feed = feed
        self._compute = compute
        self._clock = clock

    async def scan_all(self, lease: Lease | None) -> None:
        """Add a scan of every dataset in the hub, and of those that have left it."""
        seen: set[str] = set()
        async for urns in self._hub.scroll(_BATCH):
            seen.update(urns)
            async with self._store.transaction() as tx:
                await tx.add_jobs([scan_job(urn) for urn in urns])
        gone = sorted(await self._store.known_datasets() - seen)
        async with self._store.transaction(lease) as tx:
            await tx.add_jobs([scan_job(urn) for urn in gone])

    async def scan(self, lease: Lease | None, urn: str) -> None:
        """Judge what is new of a dataset and save results, verdict and alerts together.

        A dataset that has left the hub is forgotten. A repeated or concurrent scan adds nothing.
        Raises DependencyTimeout where judging takes longer than a minute.
        """
        now = self._clock.now()
        since = now - _HISTORY
        datasets, profiles, operations = await asyncio.gather(
            self._hub.datasets([urn]),
            self._hub.profiles([urn], since),
            self._hub.operations([urn], since),
        )
        if urn not in datasets or datasets[urn].removed:
            async with self._store.transaction(lease) as tx:
                await tx.forget([urn])
            return
        stored = await self._store.last_point_times(urn)
        judged_until = {Metric(metric): time for metric, time in stored.items()}
        active = {a.metric: a for a in (await self._store.active_alerts([urn])).get(urn, ())}

        verdicts = await self._compute.run(
            _JUDGING,
            judge_dataset,
            profiles.get(urn, ()),
            operations.get(urn, ()),
            now,
            judged_until,
            deprecated=datasets[urn].deprecated,
        )
        results = [
            Result(urn, verdict.metric, judgement, now)
            for verdict in verdicts
            for judgement in verdict.judgements
        ]
        newest = [Result(urn, v.metric, v.judgements[-1], now) for v in verdicts]
        alerts = [
            transition(active.get(v.metric), urn, v.metric, v.judgements[-1], v.failing_since, now)
            for v in verdicts
        ]

        async with self._store.transaction(lease) as tx:
            await tx.save_results(results)
            await tx.save_quality([_summary(urn, newest, now)])
            changes = await tx.save_alerts([alert for alert in alerts if alert is not None])
            if newest:
                await tx.add_jobs([_write_back_job(urn)])
        if changes:
            await self._signal()

    async def write_back(self, lease: Lease | None, urn: str) -> None:
        """Show the latest verdict in the hub; nothing where there is none."""
        quality = (await self._store.quality_of([urn])).get(urn)
        if quality is not None:
            await self._hub.write_results(quality.results)
            await self._hub.write_scores([Scores(urn, quality=quality.score, health=None)])
        async with self._store.transaction(lease):
            pass

    async def verdicts_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, DatasetQuality]:
        """Return the latest verdict of each dataset scanned whose profile the actor may view."""
        access = await self._hub.access(actor, urns)
        visible = [urn for urn in urns if urn in access and access[urn].view_profile]
        verdicts = await self._store.quality_of(visible)
        return {
            urn: _summary(
                urn,
                [r for r in verdict.results if _may_see(access[urn], r.metric)],
                verdict.scanned_at,
            )
            for urn, verdict in verdicts.items()
        }

    async def results_for(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, Sequence[Result]]:
        """Return the newest ``limit`` results of each visible metric, newest first."""
        access = await self._hub.access(actor, urns)
        results = await self._store.results_for([u for u in urns if u in access], limit)
        return {
            urn: [r for r in found if _may_see(access[urn], r.metric)]
            for urn, found in results.items()
        }

    async def active_alerts_for(
        self, actor: Actor, urns: Sequence[str]
    ) -> Mapping[str, Sequence[Alert]]:
        """Return the visible alerts that are not resolved, newest first."""
        access = await self._hub.access(actor, urns)
        alerts = await self._store.active_alerts([u for u in urns if u in access])
        return {
            urn: [a for a in found if _may_see(access[urn], a.metric)]
            for urn, found in alerts.items()
        }

    async def alerts(
        self,
        actor: Actor,
        urns: Sequence[str] | None,
        states: Sequence[AlertState] | None,
        first: int,
        after: str | None,
    ) -> AlertPage:
        """Return up to ``first`` visible alerts, newest first, from after a cursor on.

        None for ``urns`` or ``states`` means any. Raises InvalidInput for a cursor that is not
        one, and for ``first`` below 1.
        """
        if first < 1:
            raise InvalidInput(f"first is {first}; ask for at least 1 alert.")
        position = None if after is None else _position(after)
        query = AlertQuery(
            urns=None if urns is None else tuple(urns),
            states=None if states is None else tuple(states),
            limit=first + 1,
        )
        visible: list[Alert] = []
        while len(visible) <= first:
            found = await self._store.alerts(replace(query, before=position))
            visible += await self._visible_alerts(actor, found)
            if len(found) < query.limit:
                break
            position = (found[-1].opened_at, found[-1].id)
        page = tuple(visible[:first])
        return AlertPage(page, tuple(map(_cursor, page)), has_next=len(visible) > first)

    async def acknowledge(self, actor: Actor, alert_id: UUID) -> Alert:
        """Mark an alert as taken care of by the actor, and record it.

        Raises NotFound where there is none that the actor may see, Forbidden without the right to
        edit the dataset's assertions, and Conflict where it is resolved or somebody else's. Doing
        it again changes nothing.
        """
        alert = await self._store.alert(alert_id)
        access = (await self._hub.access(actor, [alert.urn])).get(alert.urn) if alert else None
        if alert is None or access is None or not _may_see(access, alert.metric):
            raise NotFound(f"There is no alert {alert_id}.")
        if not access.edit_assertions:
            raise Forbidden("Acknowledging an alert needs the privilege Edit Assertions.")
        if alert.state is AlertState.ACKNOWLEDGED and alert.acknowledged_by == actor.urn:
            return alert
        acknowledged = replace(
            alert,
            state=AlertState.ACKNOWLEDGED,
            acknowledged_by=actor.urn,
            acknowledged_at=self._clock.now(),
        )
        async with self._store.transaction() as tx:
            changes = await tx.save_alerts([acknowledged])
            if not changes:
                raise Conflict(f"Alert {alert_id} is resolved or acknowledged already.")
            await tx.audit(actor.urn, "acknowledge_alert", [str(alert_id)])
        await self._signal()
        return changes[0].alert

    async def request_scan(
        self, actor: Actor, urns: Sequence[str] | None, traceparent: str | None = None
    ) -> int:
        """Ask for a scan of some datasets, or of all where None; returns how many jobs that is.

        Raises Forbidden without Edit Assertions on each dataset, or, for all of them, without the
        right to manage; NotFound for a dataset that the actor cannot see; InvalidInput for a urn
        that is not a dataset's.
        """
        if urns is None:
            if not actor.can_manage:
                raise Forbidden("Scanning every dataset needs the right to manage DataSpoke.")
            jobs = [NewJob(JobKind.SCAN_ALL, dedupe_key=JobKind.SCAN_ALL)]
        else:
            asked = list(dict.fromkeys(require_dataset(urn) for urn in urns))
            access = await self._hub.access(actor, asked)
            for urn in asked:
                if urn not in access:
                    raise NotFound(f"There is no dataset {urn}.")
                if not access[urn].edit_assertions:
                    raise Forbidden(f"Scanning {urn} needs the privilege Edit Assertions.")
            jobs = [scan_job(urn) for urn in asked]
        async with self._store.transaction() as tx:
            await tx.add_jobs([replace(job, traceparent=traceparent) for job in jobs])
            await tx.audit(actor.urn, "request_scan", ["*"] if urns is None else asked)
        return len(jobs)

    async def stream(
        self, actor: Actor, urns: Sequence[str] | None, after: int | None
    ) -> AsyncGenerator[AlertChange]:
        """Yield visible changes of alerts: those after a cursor, then each as it happens.

        With no cursor it begins now. None for ``urns`` means every dataset the actor may see;
        rights are asked for again with every batch.
        """
        async with self._feed.listen() as turns:
            cursor = await self._store.last_alert_cursor() if after is None else after
            while True:
                changes = await self._store.alert_changes(cursor, urns, _CHANGES)
                if changes:
                    seen = await self._visible_alerts(actor, [c.alert for c in changes])
                    visible = set(seen)
                    for change in changes:
                        cursor = change.cursor
                        if change.alert in visible:
                            yield change
                if len(changes) < _CHANGES:
                    await anext(turns)

    async def _visible_alerts(self, actor: Actor, alerts: Sequence[Alert]) -> list[Alert]:
        if not alerts:
            return []
        access = await self._hub.access(actor, list(dict.fromkeys(a.urn for a in alerts)))
        return [a for a in alerts if a.urn in access and _may_see(access[a.urn], a.metric)]

    async def _signal(self) -> None:
        try:
            await self._feed.signal()
        except DependencyError as error:
            # It costs listeners a few seconds: they look into the store by themselves.
            _log.warning("No signal went out after a change of alerts: %s", error.public_message)


def _may_see(access: Access, metric: Metric) -> bool:
    if metric is Metric.FRESHNESS:
        return access.view_profile and access.view_operations
    return access.view_profile


def _summary(urn: str, newest: Sequence[Result], scanned_at: datetime) -> DatasetQuality:
    statuses = [result.judgement.status for result in newest]
    judged = [status for status in statuses if status is not Status.WARMING_UP]
    passed = judged.count(Status.PASS)
    status = Status.WARMING_UP
    if judged:
        status = Status.PASS if passed == len(judged) else Status.FAIL
    score = 100 * passed / len(judged) if judged else None
    return DatasetQuality(urn, status, score, tuple(newest), scanned_at)


def scan_job(urn: str) -> NewJob:
    """Return the job that scans one dataset; while it waits, a second joins it."""
    return NewJob(JobKind.SCAN_DATASET, {"urn": urn}, dedupe_key=f"{JobKind.SCAN_DATASET}:{urn}")


def _write_back_job(urn: str) -> NewJob:
    kind = JobKind.WRITE_BACK_QUALITY
    return NewJob(kind, {"urn": urn}, dedupe_key=f"{kind}:{urn}")


def _cursor(alert: Alert) -> str:
    position = f"{alert.opened_at.isoformat()}|{alert.id}"
    return base64.urlsafe_b64encode(position.encode()).decode()


def _position(cursor: str) -> tuple[datetime, UUID]:
    try:
        time, _, alert_id = base64.urlsafe_b64decode(cursor).decode().partition("|")
        opened_at = datetime.fromisoformat(time)
        if opened_at.tzinfo is None:
            raise ValueError("no time zone")
        return opened_at, UUID(alert_id)
    except (ValueError, binascii.Error) as error:
        raise InvalidInput(
            f"after is {cursor!r}; use a cursor that a page of alerts gave."
        ) from error
