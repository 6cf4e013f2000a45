"""Quality Control: scans of datasets and the verdicts that come of them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from dataspoke.catalogue import Dataset, Profile, Usage
from dataspoke.errors import Forbidden, NotFound
from dataspoke.ports.clock import Clock
from dataspoke.ports.compute import Compute
from dataspoke.ports.feed import Feed
from dataspoke.ports.hub import Actor, Hub, Scores
from dataspoke.ports.store import JobKind, Lease, NewJob, Store
from dataspoke.quality.access import may_see
from dataspoke.quality.alerting import announce_job, signal
from dataspoke.quality.alerts import resolve, told_by_freshness, transition
from dataspoke.quality.detectors import DatasetHistory, Verdict, basis_of, judge_datasets
from dataspoke.quality.model import (
    Alert,
    Check,
    DatasetQuality,
    Feedback,
    Metric,
    MonitorSettings,
    Result,
    Status,
    StoredModel,
)
from dataspoke.quality.rules.model import Evaluation, SchemaVersion
from dataspoke.quality.rules.service import RuleService
from dataspoke.quality.scoring import dimension_of, summarise
from dataspoke.settings import QualitySettings
from dataspoke.urns import deterministic_id, require_dataset

# Two years show a season of the year twice.
_HISTORY = timedelta(days=730)
# What is reported within this time after the fact, a scan finds that goes on from the last one;
# rules on changes need the profiles of that time as well.
_OVERLAP = timedelta(days=30)
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
        rules: RuleService,
        settings: QualitySettings,
    ) -> None:
        self._hub = hub
        self._store = store
        self._feed = feed
        self._compute = compute
        self._clock = clock
        self._rules = rules
        self._settings = settings

    async def scan(
        self,
        lease: Lease | None,
        urns: Sequence[str],
        run_id: UUID | None = None,
        *,
        refit: bool = False,
    ) -> None:
        """Judge what is new of some datasets and save results, verdicts and alerts together.

        With a run they are counted as done in it by the same commit. With ``refit`` everything is
        learned anew from the whole history, which takes what came late into account. A dataset that
        has left the hub is forgotten. A repeated or concurrent scan adds nothing. Raises
        DependencyTimeout where judging takes longer than a minute for each dataset.
        """
        now = self._clock.now()
        datasets = await self._hub.datasets(urns)
        there = [urn for urn in urns if urn in datasets and not datasets[urn].removed]
        known = await self._known(there)
        histories = await self._histories(there, datasets, known, now, refit=refit)
        verdicts, evaluations = await asyncio.gather(
            self._compute.run(
                _JUDGING * max(1, len(there)),
                judge_datasets,
                [histories[urn] for urn in there if known.watched(urn)],
                now,
                self._settings.alerts_per_fortnight,
            ),
            self._rules.evaluate(
                {urn: datasets[urn] for urn in there},
                {urn: histories[urn].profiles for urn in there},
                {urn: histories[urn].operations for urn in there},
                known.verdicts,
                now,
            ),
        )
        judged = [
            _outcome(urn, verdicts.get(urn, ()), evaluations.get(urn, ()), known, now)
            for urn in there
        ]
        weights = self._settings.weights
        summaries = [summarise(each.urn, each.newest, now, weights) for each in judged]

        async with self._store.transaction(lease) as tx:
            await tx.forget([urn for urn in urns if urn not in there])
            await tx.save_results([result for each in judged for result in each.results])
            await tx.save_models([model for each in judged for model in each.models])
            await tx.save_quality(summaries)
            await tx.save_schemas([SchemaVersion.of(u, datasets[u].fields, now) for u in there])
            changes = await tx.save_alerts([alert for each in judged for alert in each.alerts])
            jobs = [_write_back_job(judged)] if any(each.shown for each in judged) else []
            if changes:
                wait = timedelta(seconds=self._settings.grouping_wait_s)
                jobs.append(announce_job(wait))
            await tx.add_jobs(jobs)
            if run_id is not None:
                await tx.count_done(run_id, urns)
        if changes:
            await signal(self._feed)

    async def _known(self, urns: Sequence[str]) -> "_Known":
        (
            verdicts,
            models,
            judged_until,
            alerts,
            monitors,
            feedback,
        ) = await asyncio.gather(
            self._store.quality_of(urns),
            self._store.models_of(urns),
            self._store.last_point_times(urns),
            self._store.latest_alerts(urns),
            self._store.monitors_of(urns),
            self._store.feedback_on(urns),
        )
        return _Known(verdicts, models, judged_until, alerts, monitors, feedback)

    async def _histories(
        self,
        urns: Sequence[str],
        datasets: Mapping[str, Dataset],
        known: "_Known",
        now: datetime,
        *,
        refit: bool,
    ) -> dict[str, DatasetHistory]:
        """Return what judging needs: the whole history, or what came since the last scan."""
        follow = [] if refit else [urn for urn in urns if known.may_follow(urn)]
        anew = [urn for urn in urns if urn not in follow]
        whole = now - _HISTORY
        since = min((known.verdicts[urn].scanned_at for urn in follow), default=now) - _OVERLAP
        # Habits of loads are learned from all of them, and they are few.
        operations, of_anew, of_follow = await asyncio.gather(
            self._hub.operations(urns, whole),
            self._observed(anew, whole),
            self._observed(follow, max(since, whole)),
        )
        profiles = {**of_anew[0], **of_follow[0]}
        usage = {**of_anew[1], **of_follow[1]}
        return {
            urn: DatasetHistory(
                urn,
                tuple(profiles.get(urn, ())),
                tuple(operations.get(urn, ())),
                tuple(usage.get(urn, ())),
                deprecated=datasets[urn].deprecated,
                settings=known.monitors.get(urn),
                feedback=tuple(known.feedback.get(urn, ())),
                previous=known.verdicts[urn].results if urn in known.verdicts else (),
                models=known.models.get(urn, {}) if urn in follow else {},
                judged_until=known.judged_until.get(urn, {}),
            )
            for urn in urns
        }

    async def _observed(
        self, urns: Sequence[str], since: datetime
    ) -> tuple[Mapping[str, Sequence[Profile]], Mapping[str, Sequence[Usage]]]:
        if not urns:
            return {}, {}
        return await asyncio.gather(self._hub.profiles(urns, since), self._hub.usage(urns, since))

    async def write_back(
        self, lease: Lease | None, urns: Sequence[str], removed: Mapping[str, Sequence[str]]
    ) -> None:
        """Show the latest verdicts in the hub, and no longer those of the checks ``removed``.

        Of the columns, whose checks are many, those are shown that do not pass or once failed.
        """
        verdicts = await self._store.quality_of(urns)
        alerts = await self._store.latest_alerts(list(verdicts))
        results = [
            result
            for urn, quality in verdicts.items()
            for result in quality.results
            if result.check.column is None
            or result.judgement.status is not Status.PASS
            or result.check in alerts.get(urn, {})
        ]
        names = {rule.id: rule.spec.name for rule in await self._store.rules()}
        await self._hub.write_results(results, names)
        for urn, keys in removed.items():
            still = {r.check for r in verdicts[urn].results} if urn in verdicts else set()
            gone = [check for key in keys if (check := Check.parse(key)) not in still]
            await self._hub.remove_checks(urn, gone)
        await self._hub.write_scores(
            [Scores(urn, quality=quality.score, health=None) for urn, quality in verdicts.items()]
        )
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
                self._settings.weights,
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


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store holds of the datasets of a scan."""

    verdicts: Mapping[str, DatasetQuality]
    models: Mapping[str, Mapping[Check, StoredModel]]
    judged_until: Mapping[str, Mapping[Check, datetime]]
    alerts: Mapping[str, Mapping[Check, Alert]]
    monitors: Mapping[str, MonitorSettings]
    feedback: Mapping[str, Sequence[Feedback]]

    def watched(self, urn: str) -> bool:
        return urn not in self.monitors or self.monitors[urn].enabled

    def may_follow(self, urn: str) -> bool:
        """Tell whether what has come since the last scan is enough to judge a dataset."""
        basis = basis_of(self.monitors.get(urn), self.feedback.get(urn, ()))
        models = self.models.get(urn, {})
        return (
            urn in self.verdicts and bool(models) and all(m.basis == basis for m in models.values())
        )

    def muted(self, urn: str, now: datetime) -> bool:
        settings = self.monitors.get(urn)
        until = None if settings is None else settings.muted_until
        return until is not None and now < until


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a scan found of one dataset; ``removed`` are checks that it has no more."""

    urn: str
    results: list[Result]
    newest: list[Result]
    models: list[StoredModel]
    alerts: list[Alert]
    removed: list[Check]

    @property
    def shown(self) -> bool:
        return bool(self.newest or self.removed)


def _outcome(
    urn: str,
    verdicts: Sequence[Verdict],
    evaluations: Sequence[Evaluation],
    known: _Known,
    now: datetime,
) -> _Outcome:
    latest = known.alerts.get(urn, {})
    previous = known.verdicts[urn].results if urn in known.verdicts else ()
    found = _Outcome(urn, [], [], [], [], [])
    for verdict in verdicts:
        check = verdict.check
        dimension = dimension_of(check.metric)
        results = [Result(urn, check, j, now, dimension) for j in verdict.judgements]
        found.results.extend(results)
        found.newest.append(results[-1])
        if verdict.model is not None:
            found.models.append(verdict.model)
        newest, since = verdict.judgements[-1], verdict.failing_since
        alert = transition(latest.get(check), urn, check, newest, since, now)
        # How often a dataset is queried is no fault of its data: shown, and no alert.
        quiet = (
            known.muted(urn, now)
            or dimension is None
            or (
                check.metric is Metric.LATE_ARRIVAL
                and told_by_freshness({**latest, **{a.check: a for a in found.alerts}}, now)
            )
        )
        if alert is not None and not (quiet and _opens(alert, latest.get(check))):
            found.alerts.append(alert)
    for evaluation in evaluations:
        result, severity = evaluation.result, evaluation.rule.spec.severity
        if evaluation.fresh:
            found.results.append(result)
        found.newest.append(result)
        of_check = latest.get(result.check)
        # The same fault as before: one that a person closed stays closed.
        since = of_check.observed_at if of_check is not None and evaluation.continues else None
        alert = transition(of_check, urn, result.check, result.judgement, since, now, severity)
        quiet = known.muted(urn, now) or evaluation.muted
        if alert is not None and not (quiet and _opens(alert, of_check)):
            found.alerts.append(alert)
    checks = {result.check for result in found.newest}
    found.removed.extend(result.check for result in previous if result.check not in checks)
    # Of what is not watched any more nobody will ever see that it passes again.
    found.alerts.extend(
        resolve(alert, now)
        for check, alert in latest.items()
        if alert.active and check in found.removed and check.rule is None
    )
    return found


def _opens(alert: Alert, latest: Alert | None) -> bool:
    return alert.active and (latest is None or not latest.active)


def scan_job(urn: str) -> NewJob:
    """Return the job that scans one dataset; while it waits, a second joins it."""
    kind = JobKind.SCAN_DATASETS
    return NewJob(kind, {"urns": [urn]}, dedupe_key=f"{kind}:{urn}")


def _write_back_job(judged: Sequence[_Outcome]) -> NewJob:
    kind = JobKind.WRITE_BACK_QUALITY
    urns = [each.urn for each in judged if each.shown]
    removed = {each.urn: [check.key for check in each.removed] for each in judged if each.removed}
    key = deterministic_id(kind, *urns, json.dumps(removed, sort_keys=True))
    return NewJob(kind, {"urns": urns, "removed": removed}, dedupe_key=f"{kind}:{key}")
