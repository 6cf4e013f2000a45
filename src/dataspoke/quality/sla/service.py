"""Deadlines as people meet them: set, watched, told of, tried on the past."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dataspoke.catalogue import Reach
from dataspoke.errors import Forbidden, NotFound
from dataspoke.ports.clock import Clock
from dataspoke.ports.compute import Compute
from dataspoke.ports.feed import Feed
from dataspoke.ports.hub import Access, Actor, Hub
from dataspoke.ports.sla import NextLook
from dataspoke.ports.store import JobKind, Lease, NewJob, Store
from dataspoke.quality.access import may_see
from dataspoke.quality.alerting import announce_job, signal
from dataspoke.quality.model import Alert, MonitorSettings
from dataspoke.quality.service import scan_job
from dataspoke.quality.sla.alerts import SLA, Move, Step, move, moved, resolved
from dataspoke.quality.sla.backtest import backtest
from dataspoke.quality.sla.deadlines import next_cycle, require_sense
from dataspoke.quality.sla.forecast import Upstream
from dataspoke.quality.sla.looking import (
    LONGEST_HISTORY,
    SHORTEST_WAIT,
    Look,
    Watched,
    history_since,
    look_at_all,
)
from dataspoke.quality.sla.model import Outlook, Sla, SlaBacktest, SlaTarget, record_of
from dataspoke.urns import require_dataset

CHECK_EVERY = SHORTEST_WAIT
"""How often the job that looks at deadlines is to run."""

_BATCH = 100
_LOOKING = timedelta(seconds=10)
_REPLAYING = timedelta(seconds=60)
# What is farther up makes itself felt through what is nearer.
_MOST_UPSTREAM = 20
_MOST_DOWNSTREAM = 1000
_OUTCOMES = 100
# Daily deadlines need some months of updates, monthly ones years: the two are not read alike.
_SHORT_HISTORY = timedelta(days=100)


class SlaService:
    """Keeps targets, warns of deadlines that will probably be missed, and shows how that went."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        feed: Feed,
        compute: Compute,
        clock: Clock,
        grouping_wait: timedelta,
    ) -> None:
        self._hub = hub
        self._store = store
        self._feed = feed
        self._compute = compute
        self._clock = clock
        self._grouping_wait = grouping_wait

    async def check(self, lease: Lease | None) -> None:
        """Look at the targets whose time has come, and raise, worsen and end alerts on them.

        At most a hundred; where more are due, another job looks at those. A repeated or concurrent
        check adds nothing.
        """
        now = self._clock.now()
        targets = {t.urn: t for t in await self._store.sla_targets_to_look_at(now, _BATCH)}
        if not targets:
            async with self._store.transaction(lease):
                return
        urns = list(targets)
        datasets, monitors, latest = await asyncio.gather(
            self._hub.datasets(urns), self._store.monitors_of(urns), self._store.latest_alerts(urns)
        )
        watched = await self._watched(list(targets.values()), monitors, now)
        looks = await self._compute.run(_LOOKING * len(urns), look_at_all, watched, now)

        moves: dict[str, Move] = {}
        for look in looks:
            dataset = datasets.get(look.urn)
            step = move(
                look,
                latest.get(look.urn, {}).get(SLA),
                muted=_muted(monitors.get(look.urn), now),
                deprecated=dataset is None or dataset.removed or dataset.deprecated,
            )
            if step is not None:
                moves[look.urn] = step
        told = [urn for urn, step in moves.items() if step.step is not Step.RESOLVE]
        reach = await self._hub.downstream(told, _MOST_DOWNSTREAM) if told else {}
        alerts = []
        for urn, step in moves.items():
            alert = moved(step, targets[urn], len(reach.get(urn, Reach()).steps), now)
            if alert is not None:
                alerts.append(alert)

        async with self._store.transaction(lease) as tx:
            changes = await tx.save_alerts(alerts)
            changed = {change.alert.urn for change in changes}
            warned = {u for u in changed if u in moves and moves[u].step is Step.WARN}
            await tx.save_outlooks([o for look in looks for o in _outlooks(look, warned, now)])
            # Where somebody changed an alert at the same time, it is looked at again soon.
            await tx.plan_looks(
                [
                    NextLook(
                        look.urn,
                        targets[look.urn].version,
                        now + CHECK_EVERY
                        if look.urn in moves and look.urn not in changed
                        else look.look_at,
                    )
                    for look in looks
                ]
            )
            if changes:
                await tx.add_jobs([announce_job(self._grouping_wait)])
            if len(targets) == _BATCH:
                await tx.add_jobs([check_job()])
        if changes:
            await signal(self._feed)

    async def slas_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Sla]:
        """Return how it stands with each dataset that has a target and that the actor may see.

        That takes the right to view its profile and its operations. A cause is left out where the
        actor may not see that dataset.
        """
        access = await self._hub.access(actor, urns)
        visible = [urn for urn in urns if urn in access and may_see(access[urn], SLA)]
        targets, kept = await asyncio.gather(
            self._store.sla_targets(visible), self._store.outlooks_of(visible, _OUTCOMES + 1)
        )
        outlooks = await self._with_visible_causes(actor, access, kept)
        now = self._clock.now()
        return {urn: _sla(t, outlooks.get(urn, ()), now) for urn, t in targets.items()}

    async def set_target(self, actor: Actor, target: SlaTarget) -> SlaTarget:
        """Set when a dataset has to be loaded; how it stands is found out at once.

        Raises InvalidInput for what cannot be meant, NotFound for a dataset that the actor cannot
        see, Forbidden without Edit Assertions, and Conflict where somebody else has changed the
        target since this version was read.
        """
        require_sense(target)
        await self._require_edit(actor, target.urn)
        now = self._clock.now()
        ended = [] if target.enabled else await self._active_alerts(target.urn)
        scanned = await self._store.quality_of([target.urn])
        async with self._store.transaction() as tx:
            await tx.save_sla_target(replace(target, set_at=now), now)
            changes = await tx.save_alerts([resolved(alert, now) for alert in ended])
            await tx.add_jobs([check_job()])
            if target.urn not in scanned:
                # The verdict that shows the target is there from the first scan on.
                await tx.add_jobs([scan_job(target.urn)])
            if changes:
                await tx.add_jobs([announce_job(self._grouping_wait)])
            await tx.audit(actor.urn, "set_sla_target", [target.urn])
        if changes:
            await signal(self._feed)
        return (await self._store.sla_targets([target.urn]))[target.urn]

    async def remove_target(self, actor: Actor, urn: str) -> None:
        """Remove a dataset's target with its history, and end the alert on it.

        Raises NotFound where there is none, or no dataset that the actor can see, and Forbidden
        without Edit Assertions.
        """
        require_dataset(urn)
        await self._require_edit(actor, urn)
        if not await self._store.sla_targets([urn]):
            raise NotFound(f"{urn} has no SLA target.")
        now = self._clock.now()
        ended = await self._active_alerts(urn)
        async with self._store.transaction() as tx:
            await tx.remove_sla_targets([urn])
            changes = await tx.save_alerts([resolved(alert, now) for alert in ended])
            if changes:
                await tx.add_jobs([announce_job(self._grouping_wait)])
            await tx.audit(actor.urn, "remove_sla_target", [urn])
        if changes:
            await signal(self._feed)

    async def backtest(self, actor: Actor, target: SlaTarget) -> SlaBacktest:
        """Return what a target would have warned of over the past; nothing is saved.

        Raises InvalidInput for a target that cannot be meant, NotFound for a dataset that the actor
        cannot see, and Forbidden without the right to view its profile and operations.
        """
        require_sense(target)
        access = await self._hub.access(actor, [target.urn])
        if target.urn not in access:
            raise NotFound(f"There is no dataset {target.urn}.")
        if not may_see(access[target.urn], SLA):
            raise Forbidden(
                f"A backtest of {target.urn} needs the privileges View Dataset Profile and View "
                "Dataset Operations."
            )
        now = self._clock.now()
        monitors = await self._store.monitors_of([target.urn])
        (watched,) = await self._watched([target], monitors, now, whole=True)
        found = await self._compute.run(
            _REPLAYING,
            backtest,
            target,
            watched.updates,
            watched.upstreams,
            now,
            watched.exclusions,
        )
        outcomes = await self._with_visible_causes(actor, access, {target.urn: found.outcomes})
        return replace(found, outcomes=tuple(outcomes[target.urn]))

    async def _watched(
        self,
        targets: Sequence[SlaTarget],
        monitors: Mapping[str, MonitorSettings],
        now: datetime,
        *,
        whole: bool = False,
    ) -> list[Watched]:
        """Return all that looks at some targets need, read from hub and store."""
        urns = [target.urn for target in targets]
        reach, kept = await asyncio.gather(
            self._hub.upstream(urns, _MOST_UPSTREAM), self._store.outlooks_of(urns, _OUTCOMES)
        )
        above = {urn: tuple(reach[urn].steps) if urn in reach else () for urn in urns}
        lineage = await self._hub.lineage(
            sorted({*urns, *(u for us in above.values() for u in us)})
        )
        since = {t.urn: now - LONGEST_HISTORY if whole else history_since(t, now) for t in targets}
        updates = await self._updates(since, above, now)
        watched = []
        for target in targets:
            known = set(above[target.urn])
            edges = {
                urn: tuple(u for u in lineage[urn].upstream if u in known) if urn in lineage else ()
                for urn in (target.urn, *above[target.urn])
            }
            # What nothing in between is made from is reached through jobs alone.
            behind = {u for urn, direct in edges.items() if urn != target.urn for u in direct}
            settings = monitors.get(target.urn)
            watched.append(
                Watched(
                    target,
                    updates.get(target.urn, ()),
                    tuple(
                        Upstream(
                            urn,
                            updates.get(urn, ()),
                            edges[urn],
                            direct=urn in edges[target.urn] or urn not in behind,
                        )
                        for urn in above[target.urn]
                    ),
                    tuple(kept.get(target.urn, ())),
                    () if settings is None else settings.exclusions,
                )
            )
        return watched

    async def _updates(
        self,
        since: Mapping[str, datetime],
        above: Mapping[str, Sequence[str]],
        now: datetime,
    ) -> Mapping[str, tuple[datetime, ...]]:
        """Return the times of updates, ascending, of datasets and of what is above them."""
        wanted: dict[str, datetime] = {}
        for urn, start in since.items():
            for one in (urn, *above[urn]):
                wanted[one] = min(start, wanted.get(one, start))
        short = [urn for urn, start in wanted.items() if start >= now - _SHORT_HISTORY]
        long = [urn for urn in wanted if urn not in set(short)]
        read = await asyncio.gather(
            *(
                self._hub.operations(some, min(wanted[urn] for urn in some))
                for some in (short, long)
                if some
            )
        )
        return {
            urn: tuple(sorted(operation.time for operation in operations))
            for some in read
            for urn, operations in some.items()
        }

    async def _require_edit(self, actor: Actor, urn: str) -> None:
        access = (await self._hub.access(actor, [urn])).get(urn)
        if access is None:
            raise NotFound(f"There is no dataset {urn}.")
        if not access.edit_assertions:
            raise Forbidden(f"Changing the SLA of {urn} needs the privilege Edit Assertions.")

    async def _active_alerts(self, urn: str) -> list[Alert]:
        active = await self._store.active_alerts([urn])
        return [alert for alert in active.get(urn, ()) if alert.check == SLA]

    async def _with_visible_causes(
        self,
        actor: Actor,
        access: Mapping[str, Access],
        outlooks: Mapping[str, Sequence[Outlook]],
    ) -> Mapping[str, Sequence[Outlook]]:
        causes = {o.cause.urn for of in outlooks.values() for o in of if o.cause is not None}
        unknown = sorted(causes - access.keys())
        known = {**access, **(await self._hub.access(actor, unknown) if unknown else {})}
        visible = {urn for urn in causes if urn in known and may_see(known[urn], SLA)}
        return {
            urn: [
                o if o.cause is None or o.cause.urn in visible else replace(o, cause=None)
                for o in of
            ]
            for urn, of in outlooks.items()
        }


def check_job() -> NewJob:
    """Return the job that looks at deadlines; while it waits, a second joins it."""
    kind = JobKind.CHECK_SLAS
    return NewJob(kind, dedupe_key=kind)


def _sla(target: SlaTarget, outlooks: Sequence[Outlook], now: datetime) -> Sla:
    following = next_cycle(target, now) if target.enabled else None
    deadline = None if following is None else following.deadline
    outcomes = tuple(o for o in outlooks if o.deadline <= now and o.settled)[:_OUTCOMES]
    return Sla(
        target,
        deadline,
        next((o for o in outlooks if o.deadline == deadline), None),
        outcomes,
        record_of(outcomes),
    )


def _outlooks(look: Look, warned: set[str], now: datetime) -> list[Outlook]:
    upcoming = look.upcoming
    if upcoming is None:
        return list(look.settled)
    if look.urn in warned:
        upcoming = replace(upcoming, warned_at=now)
    return [*look.settled, upcoming]


def _muted(settings: MonitorSettings | None, now: datetime) -> bool:
    return settings is not None and settings.muted_until is not None and now < settings.muted_until
