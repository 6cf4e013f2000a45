"""Notifications: planned with the alerts, delivered by jobs, and as people prefer them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from email.errors import HeaderParseError
from email.headerregistry import Address
from uuid import UUID, uuid4

from dataspoke.catalogue import Dataset, Reach, Usage
from dataspoke.errors import DependencyError, DependencyRejected, Forbidden, InvalidInput
from dataspoke.ports.clock import Clock
from dataspoke.ports.hub import Actor, Hub
from dataspoke.ports.notifier import Channels
from dataspoke.ports.store import JobKind, Lease, NewJob, Store, Transaction
from dataspoke.quality.access import may_see
from dataspoke.quality.model import Alert, AlertChange, AlertState, Severity
from dataspoke.quality.notifications.model import (
    Channel,
    ChannelKind,
    DatasetFacts,
    Delivery,
    DeliveryState,
    Event,
    Message,
    Notification,
    Outgoing,
    Preferences,
    Scope,
    Target,
)
from dataspoke.quality.notifications.quiet import require_usable
from dataspoke.quality.notifications.routing import Audience, Knowledge, may_receive, plan

_GROUP = "urn:li:corpGroup:"
_MAX_SUBSCRIPTIONS = 50
_MONTH = timedelta(days=30)
# Beyond so many datasets the number says no more than "many".
_REACH = 1000
_TEST_URN = "urn:li:dataset:(urn:li:dataPlatform:dataspoke,test,PROD)"


class NotificationService:
    """Tells people of alerts, each change once, through an outbox that survives every crash."""

    def __init__(self, hub: Hub, store: Store, clock: Clock, channels: Channels) -> None:
        self._hub = hub
        self._store = store
        self._clock = clock
        self._channels = channels.channels
        self._notifiers = channels.notifiers
        self._default = channels.default
        self._datahub_url = channels.datahub_url

    # --- with the alerts ---

    async def plan(
        self, changes: Sequence[AlertChange], active: Sequence[Alert]
    ) -> Sequence[Outgoing]:
        """Return what is to go out for these changes, for ``enqueue`` to put into the outbox.

        ``active`` holds the alerts that may be causes of others. To be called before the
        transaction; nothing is read where the settings name no channel.
        """
        if not changes or not self._channels:
            return ()
        urns = sorted({change.alert.urn for change in changes})
        alerts = {change.alert.id for change in changes}
        causes = {change.alert.cause for change in changes if change.alert.cause is not None}
        facts, told = await asyncio.gather(
            self._facts(urns), self._store.last_events(sorted(alerts | causes))
        )
        owners = sorted({owner for one in facts.values() for owner in one.owners})
        return plan(
            changes,
            Audience(self._channels, await self._store.preferences_about(owners), self._default),
            Knowledge(facts, told, {alert.id: alert for alert in active}),
            self._datahub_url,
            self._clock.now(),
        )

    async def enqueue(self, tx: Transaction, outgoing: Sequence[Outgoing]) -> None:
        """Put notifications into the outbox, with a job for each whose turn it is."""
        now = self._clock.now()
        first = await tx.add_notifications(outgoing)
        await tx.add_jobs([_delivery_job(one, now) for one in first])

    # --- deliveries ---

    async def deliver(self, lease: Lease | None, notification_id: UUID) -> None:
        """Send one notification and note it; nothing where that was done before.

        Where this ends between the two, it is sent again under the same id. Raises what the
        channel raises: DependencyRejected marks it as failed, and the next one gets its turn.
        """
        lane = await self._store.lane_of(notification_id)
        own = [one for one in lane if one.outgoing.notification.id == notification_id]
        ended = (DeliveryState.DELIVERED, DeliveryState.DROPPED)
        if not own or own[0].state in ended:
            async with self._store.transaction(lease):
                return
        delivery = own[0]
        outgoing = delivery.outgoing
        if outgoing.not_before is not None and outgoing.not_before > self._clock.now():
            async with self._store.transaction(lease) as tx:
                await tx.add_jobs([_delivery_job(outgoing, self._clock.now())])
            return
        needless = await self._needless(delivery, lane)
        if needless is not None:
            await self._finish(lease, outgoing, DeliveryState.DROPPED, needless)
            return
        try:
            await self._send(outgoing.notification, outgoing.target)
        except DependencyRejected as error:
            await self._finish(None, outgoing, DeliveryState.FAILED, error.public_message)
            raise
        except DependencyError as error:
            async with self._store.transaction() as tx:
                await tx.note_failure(notification_id, error.public_message)
            raise
        await self._finish(lease, outgoing, DeliveryState.DELIVERED, None)

    async def _needless(self, delivery: Delivery, lane: Sequence[Delivery]) -> str | None:
        """Return why it need not be sent any more; None where it must."""
        outgoing = delivery.outgoing
        before = [one for one in lane if one.outgoing.change < outgoing.change]
        after = [one for one in lane if one.outgoing.change > outgoing.change]
        if any(one.state is DeliveryState.DELIVERED for one in after):
            return "A later change of the alert has been told already."
        if outgoing.notification.message.event is not Event.TRIGGER:
            sent = (DeliveryState.DELIVERED, DeliveryState.FAILED)
            if not any(one.state in sent for one in before):
                return "The alert itself was not told."
            return None
        if outgoing.not_before is not None and delivery.attempts == 0:
            alert = await self._store.alert(outgoing.notification.message.alert_id)
            if alert is not None and not alert.active:
                return "The alert ended while this was held back."
        return None

    async def _send(self, notification: Notification, target: Target) -> None:
        notifier = self._notifiers.get(target.channel)
        if notifier is None:
            raise DependencyRejected(
                "notifier", f"The settings name no channel {target.channel} any more."
            )
        await notifier.send(notification, target)

    async def _finish(
        self, lease: Lease | None, outgoing: Outgoing, state: DeliveryState, detail: str | None
    ) -> None:
        async with self._store.transaction(lease) as tx:
            following = await tx.finish_notification(outgoing.notification.id, state, detail)
            if following is not None:
                await tx.add_jobs([_delivery_job(following, self._clock.now())])

    async def deliveries_for(
        self, actor: Actor, alerts: Sequence[Alert]
    ) -> Mapping[UUID, Sequence[Delivery]]:
        """Return what was sent of each alert, or is to be, oldest first.

        Alerts on datasets whose assertions the actor may not edit are absent. Other people's
        addresses are empty, unless the actor may manage DataSpoke.
        """
        access = await self._hub.access(actor, list(dict.fromkeys(a.urn for a in alerts)))
        visible = [
            alert.id
            for alert in alerts
            if alert.urn in access
            and access[alert.urn].edit_assertions
            and may_see(access[alert.urn], alert.check)
        ]
        found, own = await asyncio.gather(
            self._store.deliveries_of(visible), self._targets_of(actor)
        )
        return {
            alert_id: [
                one if actor.can_manage or one.outgoing.target in own else _without_address(one)
                for one in found.get(alert_id, ())
            ]
            for alert_id in visible
        }

    # --- preferences ---

    async def channels(self, actor: Actor) -> Sequence[Channel]:
        """Return the channels that people can choose from, by name."""
        return [self._channels[name] for name in sorted(self._channels)]

    async def preferences_for(self, actor: Actor, team: str | None) -> Preferences:
        """Return what the actor, or a team of theirs, wants to hear; empty where nothing was said.

        Raises Forbidden for a team that the actor is no member of, unless they may manage
        DataSpoke, and InvalidInput for what is no group's urn.
        """
        subject = _subject(actor, team)
        found = await self._store.preferences_of([subject])
        return found.get(subject, Preferences(subject))

    async def save_preferences(
        self, actor: Actor, team: str | None, wanted: Preferences
    ) -> Preferences:
        """Replace what the actor, or a team of theirs, wants to hear, and return it.

        The subject and teams of ``wanted`` are not looked at. Raises Forbidden as
        ``preferences_for`` does, and InvalidInput for what the settings do not offer.
        """
        subject = _subject(actor, team)
        subscriptions = tuple(dict.fromkeys(wanted.subscriptions))
        if len(subscriptions) > _MAX_SUBSCRIPTIONS:
            raise InvalidInput(
                f"subscriptions may hold {_MAX_SUBSCRIPTIONS}; it holds {len(subscriptions)}."
            )
        for subscription in subscriptions:
            if team is not None and subscription.scope is Scope.TEAMS:
                raise InvalidInput("A team has no teams; subscribe it to what it owns.")
            self._require_reachable(subscription.target)
        if wanted.quiet_hours is not None:
            require_usable(wanted.quiet_hours)
        saved = Preferences(
            subject, subscriptions, wanted.quiet_hours, actor.groups if team is None else ()
        )
        async with self._store.transaction() as tx:
            await tx.save_preferences(saved)
            await tx.audit(actor.urn, "save_notification_preferences", [subject])
        return saved

    async def send_test(self, actor: Actor, target: Target) -> None:
        """Send a message that is about no alert, at once, and return when it was taken.

        Raises InvalidInput for what the settings do not offer; Forbidden unless the actor may
        manage DataSpoke or has subscribed, or one of their teams has, to that very target; and
        what the channel raises.
        """
        self._require_reachable(target, broadcast=actor.can_manage)
        if not actor.can_manage and target not in await self._targets_of(actor):
            raise Forbidden(
                "Testing a channel needs a subscription that uses it, or the right to manage "
                "DataSpoke."
            )
        async with self._store.transaction() as tx:
            await tx.audit(actor.urn, "send_test_notification", [target.channel])
        message = _test_message(self._clock.now())
        await self._send(Notification(uuid4(), message), target)
        if self._channels[target.channel].kind is ChannelKind.PAGERDUTY:
            # It has opened an incident.
            resolved = replace(message, event=Event.RESOLVE, state=AlertState.RESOLVED)
            await self._send(Notification(uuid4(), resolved), target)

    def _require_reachable(self, target: Target, *, broadcast: bool = False) -> None:
        channel = self._channels.get(target.channel)
        if channel is None:
            known = ", ".join(sorted(self._channels)) or "none"
            raise InvalidInput(f"There is no channel {target.channel!r}; there are: {known}.")
        if channel.kind is not ChannelKind.SMTP:
            if target.address:
                raise InvalidInput(
                    f"Channel {channel.name} is no mail server; leave address empty."
                )
            return
        if broadcast and target.address in channel.recipients:
            return
        if not _is_address(target.address):
            raise InvalidInput(
                f"{target.address!r} is no mail address; channel {channel.name} needs one."
            )
        if not may_receive(channel, target.address):
            domains = ", ".join(channel.recipient_domains)
            raise InvalidInput(f"Channel {channel.name} sends mail to {domains} only.")

    async def _targets_of(self, actor: Actor) -> frozenset[Target]:
        found = await self._store.preferences_of([actor.urn, *actor.groups])
        return frozenset(s.target for one in found.values() for s in one.subscriptions)

    async def _facts(self, urns: Sequence[str]) -> Mapping[str, DatasetFacts]:
        datasets, downstream, usage = await asyncio.gather(
            self._hub.datasets(urns),
            self._hub.downstream(urns, _REACH),
            self._hub.usage(urns, self._clock.now() - _MONTH),
        )
        return {
            urn: _facts(dataset, downstream.get(urn), usage.get(urn, ()))
            for urn, dataset in datasets.items()
        }


def _test_message(now: datetime) -> Message:
    """Return the message that a test of a channel sends."""
    return Message(
        event=Event.TRIGGER,
        alert_id=uuid4(),
        severity=Severity.WARN,
        state=AlertState.OPEN,
        urn=_TEST_URN,
        dataset="test",
        platform="dataspoke",
        check="test",
        summary="This channel works. Nothing is wrong.",
        since=now,
        at=now,
        test=True,
    )


def _delivery_job(outgoing: Outgoing, now: datetime) -> NewJob:
    kind, key = JobKind.DELIVER_NOTIFICATION, str(outgoing.notification.id)
    wait = max(outgoing.not_before or now, now) - now
    return NewJob(kind, {"notification": key}, dedupe_key=f"{kind}:{key}", delay=wait)


def _facts(dataset: Dataset, downstream: Reach | None, usage: Sequence[Usage]) -> DatasetFacts:
    counted = [day.queries for day in usage if day.queries is not None]
    return DatasetFacts(
        urn=dataset.urn,
        name=dataset.name,
        platform=dataset.platform,
        owners=dataset.owners,
        tags=dataset.tags,
        domain=dataset.domain,
        owner_names=tuple(
            dataset.names.get(owner, owner.rpartition(":")[2]) for owner in dataset.owners
        ),
        downstream=None if downstream is None else len(downstream.steps),
        queries=sum(counted) if counted else None,
    )


def _subject(actor: Actor, team: str | None) -> str:
    if team is None:
        return actor.urn
    if not team.startswith(_GROUP):
        raise InvalidInput(f"{team!r} is not the urn of a group; write it as {_GROUP}NAME.")
    if team not in actor.groups and not actor.can_manage:
        raise Forbidden(f"The preferences of {team} are for its members.")
    return team


def _is_address(text: str) -> bool:
    try:
        address = Address(addr_spec=text)
    except (ValueError, HeaderParseError, IndexError):
        return False
    return bool(address.username and address.domain) and text.isascii() and len(text) <= 254


def _without_address(delivery: Delivery) -> Delivery:
    target = Target(delivery.outgoing.target.channel)
    return replace(delivery, outgoing=replace(delivery.outgoing, target=target))
