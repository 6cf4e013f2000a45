"""Alerts as people meet them: listed, taken up, put off, closed, followed live."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from dataspoke.catalogue import Reach
from dataspoke.errors import Conflict, DependencyError, Forbidden, InvalidInput, NotFound
from dataspoke.ports.clock import Clock
from dataspoke.ports.feed import Feed
from dataspoke.ports.hub import Actor, Hub, Incident
from dataspoke.ports.store import AlertQuery, JobKind, Lease, NewJob, Store
from dataspoke.quality import alerts as life
from dataspoke.quality.access import may_see
from dataspoke.quality.cursors import cursor_of, place_of
from dataspoke.quality.incidents import incident_of
from dataspoke.quality.model import (
    Alert,
    AlertChange,
    AlertPage,
    AlertState,
    Feedback,
    FeedbackKind,
    Impact,
)
from dataspoke.quality.notifications.service import NotificationService

_log = logging.getLogger(__name__)

_CHANGES = 100
_ANNOUNCED = "announced_alerts"
# Farther up a fault has usually been seen nearer by.
_UPSTREAM = 200
_DOWNSTREAM = 1_000
_USED = timedelta(days=30)


class AlertService:
    """Shows each caller the alerts they may see, and changes them in their name."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        feed: Feed,
        clock: Clock,
        notifications: NotificationService,
    ) -> None:
        self._hub = hub
        self._store = store
        self._feed = feed
        self._clock = clock
        self._notifications = notifications

    async def active_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Sequence[Alert]]:
        """Return the visible alerts that have not ended, newest first."""
        access = await self._hub.access(actor, urns)
        alerts = await self._store.active_alerts([u for u in urns if u in access])
        return {
            urn: [a for a in found if may_see(access[urn], a.check)]
            for urn, found in alerts.items()
        }

    async def listed(
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
        position = None if after is None else place_of(after, "alerts")
        query = AlertQuery(
            urns=None if urns is None else tuple(urns),
            states=None if states is None else tuple(states),
            limit=first + 1,
        )
        visible: list[Alert] = []
        while len(visible) <= first:
            found = await self._store.alerts(replace(query, before=position))
            visible += await self._visible(actor, found)
            if len(found) < query.limit:
                break
            position = (found[-1].opened_at, found[-1].id)
        page = tuple(visible[:first])
        return AlertPage(
            page, tuple(cursor_of(a.opened_at, a.id) for a in page), has_next=len(visible) > first
        )

    async def explained_by(
        self, actor: Actor, causes: Sequence[UUID]
    ) -> Mapping[UUID, Sequence[Alert]]:
        """Return for each alert the visible active ones that it is the cause of."""
        found = await self._store.alerts_explained_by(causes)
        victims: dict[UUID, list[Alert]] = {}
        for alert in await self._visible(actor, found):
            if alert.cause is not None:
                victims.setdefault(alert.cause, []).append(alert)
        return victims

    async def impact_of(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Impact]:
        """Return what depends on each dataset whose profile the actor may view."""
        access = await self._hub.access(actor, urns)
        visible = [urn for urn in urns if urn in access and access[urn].view_profile]
        used = [urn for urn in visible if access[urn].view_usage]
        since = self._clock.now() - _USED
        datasets, reach, usage = await asyncio.gather(
            self._hub.datasets(visible),
            self._hub.downstream(visible, _DOWNSTREAM),
            self._hub.usage(used, since),
        )
        return {
            urn: Impact(
                downstream=len(reach[urn].steps) if urn in reach else 0,
                complete=urn not in reach or reach[urn].complete,
                queries=sum(day.queries or 0 for day in usage.get(urn, ()))
                if urn in used
                else None,
                owners=dataset.owners,
            )
            for urn, dataset in datasets.items()
        }

    async def acknowledge(self, actor: Actor, alert_id: UUID) -> Alert:
        """Mark an alert as taken care of by the actor, and record it.

        This and the other changes raise NotFound where there is none that the actor may see,
        Forbidden without the right to edit the dataset's assertions, and Conflict where it has
        ended or somebody changes it at the same time. Doing it again changes nothing.
        """
        return await self._change(
            actor, alert_id, "acknowledge_alert", lambda a, now: life.acknowledge(a, actor.urn, now)
        )

    async def snooze(self, actor: Actor, alert_id: UUID, until: datetime) -> Alert:
        """Keep an alert quiet until a time, after which it opens again if it has not ended.

        Raises InvalidInput for a time that has passed or is more than ninety days ahead.
        """
        return await self._change(
            actor,
            alert_id,
            "snooze_alert",
            lambda a, now: life.snooze(a, until, now),
            wakes_at=until,
        )

    async def close(self, actor: Actor, alert_id: UUID) -> Alert:
        """End an alert by hand; the fault that it is about opens no other."""
        return await self._change(
            actor, alert_id, "close_alert", lambda a, now: life.close(a, actor.urn, now)
        )

    async def assess(self, actor: Actor, alert_id: UUID, kind: FeedbackKind) -> Alert:
        """Keep what the actor says of an alert: later verdicts on that check heed it.

        A false positive, or a change that is meant to stay, closes it.
        """
        return await self._change(
            actor,
            alert_id,
            "assess_alert",
            lambda a, now: life.assess(a, kind, actor.urn, now),
            feedback=kind,
        )

    async def _change(
        self,
        actor: Actor,
        alert_id: UUID,
        action: str,
        change: Callable[[Alert, datetime], Alert],
        *,
        wakes_at: datetime | None = None,
        feedback: FeedbackKind | None = None,
    ) -> Alert:
        alert = await self._store.alert(alert_id)
        access = (await self._hub.access(actor, [alert.urn])).get(alert.urn) if alert else None
        if alert is None or access is None or not may_see(access, alert.check):
            raise NotFound(f"There is no alert {alert_id}.")
        if not access.edit_assertions:
            raise Forbidden("Changing an alert needs the privilege Edit Assertions.")
        now = self._clock.now()
        changed = change(alert, now)
        if changed == alert:
            return alert
        async with self._store.transaction() as tx:
            changes = await tx.save_alerts([changed])
            if not changes:
                raise Conflict(f"Alert {alert_id} was changed meanwhile: look at it again.")
            jobs = [announce_job(timedelta(0))]
            if wakes_at is not None:
                jobs.append(_wake_job(alert_id, wakes_at - now))
            if feedback is not None:
                said = Feedback(alert.urn, alert.check, alert.observed_at, feedback, actor.urn, now)
                await tx.save_feedback([said])
            await tx.add_jobs(jobs)
            await tx.audit(actor.urn, action, [str(alert_id)])
        await signal(self._feed)
        return changes[0].alert

    async def wake(self, lease: Lease | None, alert_id: UUID) -> None:
        """Open a snoozed alert whose time is over; nothing where it is not, or not yet."""
        alert = await self._store.alert(alert_id)
        woken = None if alert is None else life.wake(alert, self._clock.now())
        async with self._store.transaction(lease) as tx:
            changes = await tx.save_alerts([] if woken is None else [woken])
            if changes:
                await tx.add_jobs([announce_job(timedelta(0))])
        if changes:
            await signal(self._feed)

    async def announce(self, lease: Lease | None) -> None:
        """Group active alerts by their cause along lineage, and tell of what has changed."""
        previous = await self._store.cursor(_ANNOUNCED)
        changes = await self._store.alert_changes(int(previous or 0), None, _CHANGES)
        active = [a for of in (await self._store.active_alerts(None)).values() for a in of]
        causes = life.explain(active, await self._upstream({a.urn for a in active}))
        grouped = [replace(a, cause=causes[a.id]) for a in active if a.cause != causes[a.id]]
        explained = [
            replace(c, alert=replace(c.alert, cause=causes.get(c.alert.id))) for c in changes
        ]
        outgoing = await self._notifications.plan(explained, active)
        async with self._store.transaction(lease) as tx:
            regrouped = await tx.save_alerts(grouped)
            await self._notifications.enqueue(tx, outgoing)
            if changes:
                await tx.save_cursor(_ANNOUNCED, str(changes[-1].cursor), previous)
            jobs = [announce_job(timedelta(0))] if regrouped or len(changes) == _CHANGES else []
            if told := {c.alert.id for c in changes} | {a.id for a in grouped}:
                jobs.append(_incidents_job(sorted(told), self._clock.now()))
            await tx.add_jobs(jobs)
        if regrouped:
            await signal(self._feed)

    async def _upstream(self, urns: set[str]) -> Mapping[str, frozenset[str]]:
        """Return for each dataset those it is made from, the nearest ones."""
        reached = await self._hub.upstream(sorted(urns), _UPSTREAM)
        return {urn: frozenset(reach.steps) for urn, reach in reached.items()}

    async def write_incidents(
        self, lease: Lease | None, alert_ids: Sequence[UUID], at: datetime
    ) -> None:
        """Show alerts as incidents of the hub as they are now; ``at`` is when they were changed.

        An alert that another one explains has no incident, or none that is active.
        """
        alerts = await self._store.alerts_by_id(alert_ids)
        reach = await self._hub.downstream(sorted({alert.urn for alert in alerts}), _DOWNSTREAM)
        await self._hub.write_incidents(
            [_incident(alert, reach.get(alert.urn, Reach()), at) for alert in alerts]
        )
        async with self._store.transaction(lease):
            pass

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
                    visible = set(await self._visible(actor, [c.alert for c in changes]))
                    for change in changes:
                        cursor = change.cursor
                        if change.alert in visible:
                            yield change
                if len(changes) < _CHANGES:
                    await anext(turns)

    async def _visible(self, actor: Actor, alerts: Sequence[Alert]) -> list[Alert]:
        if not alerts:
            return []
        access = await self._hub.access(actor, list(dict.fromkeys(a.urn for a in alerts)))
        return [a for a in alerts if a.urn in access and may_see(access[a.urn], a.check)]


async def signal(feed: Feed) -> None:
    """Tell listeners that alerts have changed; where that fails they find out by themselves."""
    try:
        await feed.signal()
    except DependencyError as error:
        # It costs listeners a few seconds: they look into the store at intervals.
        _log.warning("No signal went out after a change of alerts: %s", error.public_message)


def announce_job(wait: timedelta) -> NewJob:
    """Return the job that tells of changed alerts.

    It waits, so that an upstream fault and what it breaks are found before anybody is told.
    """
    kind = JobKind.ANNOUNCE_ALERTS
    return NewJob(kind, dedupe_key=kind, delay=wait)


def _incident(alert: Alert, reach: Reach, at: datetime) -> Incident:
    impact = None
    if reach.steps:
        more = "" if reach.complete else "more than "
        impact = f"Datasets downstream: {more}{len(reach.steps):,}."
    incident = incident_of(alert, impact)
    if alert.cause is not None and alert.active:
        message = "It is a consequence of another alert."
        return replace(incident, active=False, message=message, changed_at=at)
    return replace(incident, changed_at=max(incident.changed_at, at)) if alert.active else incident


def _incidents_job(alert_ids: Sequence[UUID], at: datetime) -> NewJob:
    payload = {"alerts": [str(alert_id) for alert_id in alert_ids], "at": at.isoformat()}
    return NewJob(JobKind.WRITE_BACK_INCIDENTS, payload)


def _wake_job(alert_id: UUID, delay: timedelta) -> NewJob:
    return NewJob(JobKind.WAKE_ALERT, {"alert": str(alert_id)}, delay=delay)
