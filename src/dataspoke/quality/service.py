"""Quality Control: scans of datasets and the verdicts that come of them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from dataspoke.errors import Forbidden, NotFound
from dataspoke.ports.clock import Clock
from dataspoke.ports.compute import Compute
from dataspoke.ports.feed import Feed
from dataspoke.ports.hub import Actor, Hub, Scores
from dataspoke.ports.store import JobKind, Lease, NewJob, Store
from dataspoke.quality.access import may_see
from dataspoke.quality.alerting import announce_job, signal
from dataspoke.quality.alerts import transition
from dataspoke.quality.detectors import DatasetHistory, judge_datasets
from dataspoke.quality.model import Alert, Check, DatasetQuality, MonitorSettings, Result
from dataspoke.quality.scoring import dimension_of, summarise
from dataspoke.settings import QualitySettings
from dataspoke.urns import require_dataset

# Two years show a season of the year twice.
_HISTORY = timedelta(days=730)
_JUDGING = timedelta(seconds=60)


class QualityService:
    """Judges datasets, keeps the verdicts, and shows each caller what they may see."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        feed: Feed,
        compute: Compute,
        clock: Clock,
        settings: QualitySettings,
    ) -> None:
        self._hub = hub
        self._store = store
        self._feed = feed
        self._compute = compute
        self._clock = clock
        self._weights = settings.weights
        self._grouping_wait = timedelta(seconds=settings.grouping_wait_s)

    async def scan(
        self, lease: Lease | None, urns: Sequence[str], run_id: UUID | None = None
    ) -> None:
        """Judge what is new of some datasets and save results, verdicts and alerts together.

        With a run they are counted as done in it by the same commit.
        A dataset that has left the hub is forgotten. A repeated or concurrent scan adds nothing.
        Raises DependencyTimeout where judging takes longer than a minute for each dataset.
        """
        now = self._clock.now()
        since = now - _HISTORY
        datasets, profiles, operations = await asyncio.gather(
            self._hub.datasets(urns),
            self._hub.profiles(urns, since),
            self._hub.operations(urns, since),
        )
        there = [urn for urn in urns if urn in datasets and not datasets[urn].removed]
        judged_until, latest, monitors = await asyncio.gather(
            self._store.last_point_times(there),
            self._store.latest_alerts(there),
            self._store.monitors_of(there),
        )
        watched = [urn for urn in there if urn not in monitors or monitors[urn].enabled]
        verdicts = await self._compute.run(
            _JUDGING * max(1, len(watched)),
            judge_datasets,
            [
                DatasetHistory(
                    urn,
                    tuple(profiles.get(urn, ())),
                    tuple(operations.get(urn, ())),
                    judged_until.get(urn, {}),
                    deprecated=datasets[urn].deprecated,
                )
                for urn in watched
            ],
            now,
        )
        results: list[Result] = []
        summaries: list[DatasetQuality] = []
        moved: list[Alert] = []
        for urn in there:
            newest = []
            for verdict in verdicts.get(urn, ()):
                dimension = dimension_of(verdict.check.metric)
                found = [Result(urn, verdict.check, j, now, dimension) for j in verdict.judgements]
                results += found
                newest.append(found[-1])
                alert = transition(
                    latest.get(urn, {}).get(verdict.check),
                    urn,
                    verdict.check,
                    verdict.judgements[-1],
                    verdict.failing_since,
                    now,
                )
                if alert is not None and not (
                    alert.version == 0 and _muted(monitors.get(urn), now)
                ):
                    moved.append(alert)
            summaries.append(summarise(urn, newest, now, self._weights))

        async with self._store.transaction(lease) as tx:
            await tx.forget([urn for urn in urns if urn not in there])
            await tx.save_results(results)
            await tx.save_quality(summaries)
            changes = await tx.save_alerts(moved)
            jobs = [_write_back_job(summary.urn) for summary in summaries if summary.results]
            await tx.add_jobs([*jobs, *([announce_job(self._grouping_wait)] if changes else [])])
            if run_id is not None:
                await tx.count_done(run_id, urns)
        if changes:
            await signal(self._feed)

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
            urn: summarise(
                urn,
                [r for r in verdict.results if may_see(access[urn], r.check)],
                verdict.scanned_at,
                self._weights,
            )
            for urn, verdict in verdicts.items()
        }

    async def results_for(
        self, actor: Actor, urns: Sequence[str], limit: int
    ) -> Mapping[str, Sequence[Result]]:
        """Return the newest ``limit`` results of each visible check, newest first."""
        access = await self._hub.access(actor, urns)
        results = await self._store.results_for([u for u in urns if u in access], limit)
        return {
            urn: [r for r in found if may_see(access[urn], r.check)]
            for urn, found in results.items()
        }

    async def history_of(
        self,
        actor: Actor,
        urn: str,
        check: Check,
        since: datetime | None,
        until: datetime | None,
        limit: int,
    ) -> Sequence[Result]:
        """Return the newest ``limit`` results of a check between two times, oldest first.

        None stands for the beginning and for now. Empty where the actor may not see them.
        """
        access = (await self._hub.access(actor, [urn])).get(urn)
        if access is None or not may_see(access, check):
            return ()
        now = self._clock.now()
        return await self._store.history(urn, check, since or now - _HISTORY, until or now, limit)

    async def request_scan(
        self, actor: Actor, urns: Sequence[str], traceparent: str | None = None
    ) -> int:
        """Ask for a scan of some datasets; returns how many jobs that is.

        Raises Forbidden without Edit Assertions on each dataset, NotFound for one that the actor
        cannot see, and InvalidInput for a urn that is not a dataset's.
        """
        asked = list(dict.fromkeys(require_dataset(urn) for urn in urns))
        access = await self._hub.access(actor, asked)
        for urn in asked:
            if urn not in access:
                raise NotFound(f"There is no dataset {urn}.")
            if not access[urn].edit_assertions:
                raise Forbidden(f"Scanning {urn} needs the privilege Edit Assertions.")
        async with self._store.transaction() as tx:
            await tx.add_jobs([replace(scan_job(urn), traceparent=traceparent) for urn in asked])
            await tx.audit(actor.urn, "request_scan", asked)
        return len(asked)


def _muted(settings: MonitorSettings | None, now: datetime) -> bool:
    return settings is not None and settings.muted_until is not None and now < settings.muted_until


def scan_job(urn: str) -> NewJob:
    """Return the job that scans one dataset; while it waits, a second joins it."""
    kind = JobKind.SCAN_DATASETS
    return NewJob(kind, {"urns": [urn]}, dedupe_key=f"{kind}:{urn}")


def _write_back_job(urn: str) -> NewJob:
    kind = JobKind.WRITE_BACK_QUALITY
    return NewJob(kind, {"urn": urn}, dedupe_key=f"{kind}:{urn}")
