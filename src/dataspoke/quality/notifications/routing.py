"""Who is told of which change of an alert. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote
from uuid import UUID

from dataspoke.quality.model import Alert, AlertChange, AlertState, Severity
from dataspoke.quality.notifications.model import (
    Cause,
    Channel,
    ChannelKind,
    DatasetFacts,
    Event,
    Filter,
    Message,
    Notification,
    Outgoing,
    Preferences,
    Scope,
    Target,
)
from dataspoke.quality.notifications.quiet import quiet_until
from dataspoke.urns import dataset_name, deterministic_id

_EVENTS: Mapping[AlertState, Event] = {
    AlertState.OPEN: Event.TRIGGER,
    AlertState.ACKNOWLEDGED: Event.ACKNOWLEDGE,
    AlertState.SNOOZED: Event.ACKNOWLEDGE,
    AlertState.RESOLVED: Event.RESOLVE,
    AlertState.CLOSED: Event.RESOLVE,
}
_RANK = {severity: rank for rank, severity in enumerate((Severity.WARN, Severity.ERROR))}
_USER = "urn:li:corpuser:"

AFTERMATH = timedelta(hours=24)
"""What another alert explained ends by itself with the next load, which is a day away at most for
most datasets: nobody is to hear of every victim at the very moment that the cause is mended."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Everybody who may be told: the channels of the settings, and what people asked for.

    ``default_channel`` is how owners who asked for nothing hear of their datasets; None for not.
    """

    channels: Mapping[str, Channel]
    preferences: Sequence[Preferences] = ()
    default_channel: str | None = None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of the alerts at hand: the datasets by urn, what targets were told last of
    each alert, and the alerts that are causes of others.
    """

    facts: Mapping[str, DatasetFacts]
    told: Mapping[UUID, Mapping[Target, Event]] = field(default_factory=dict)
    causes: Mapping[UUID, Alert] = field(default_factory=dict)


def plan(
    changes: Sequence[AlertChange],
    audience: Audience,
    knowledge: Knowledge,
    datahub_url: str,
    now: datetime,
) -> Sequence[Outgoing]:
    """Return what goes out for these changes, at most one for each alert and target.

    Of several changes of one alert only the last counts: what opened and resolved before anybody
    was told stays untold. A trigger goes to whom ``recipients`` names, but for an alert that
    another one explains only to those who do not hear of that one; when that one has ended they
    hear of what it leaves behind, where it is still there after AFTERMATH. What follows goes to
    those who were told of the trigger, and to no one twice.
    """
    newest = {change.alert.id: change for change in changes}
    opened = {change.alert.id for change in changes if change.alert.version == 1}
    heard = {alert: set(targets) for alert, targets in knowledge.told.items()}
    outgoing = []
    # Causes come before what they explain, so that it is known who hears of them.
    for change in sorted(newest.values(), key=lambda c: (c.alert.cause is not None, c.cursor)):
        alert = change.alert
        event = _EVENTS[alert.state]
        facts = knowledge.facts.get(alert.urn) or _unknown(alert.urn)
        told = knowledge.told.get(alert.id, {})
        routed = recipients(alert, facts, audience, now)
        if event is Event.TRIGGER:
            aware = set() if alert.cause is None else heard.get(alert.cause, set())
            targets = [target for target in routed if target not in aware or target in told]
        else:
            targets = list(told)
        message = _message(alert, event, facts, knowledge.causes, datahub_url, now)
        for target in sorted(targets):
            if told.get(target) is event:
                continue
            key = deterministic_id("notification", str(alert.id), str(change.cursor), str(target))
            not_before = routed.get(target)
            if target not in told and alert.id not in opened:
                not_before = max(not_before or now, now + AFTERMATH)
            outgoing.append(Outgoing(Notification(key, message), change.cursor, target, not_before))
            heard.setdefault(alert.id, set()).add(target)
    return outgoing


def recipients(
    alert: Alert, facts: DatasetFacts, audience: Audience, now: datetime
) -> Mapping[Target, datetime | None]:
    """Return where an alert belongs, with the end of the quiet hours that hold it back there.

    None means at once. Where a target is named by several, the earliest time counts.
    """
    found: dict[Target, datetime | None] = {}

    def add(target: Target, not_before: datetime | None) -> None:
        earlier = found.get(target, not_before)
        both = None if earlier is None or not_before is None else min(earlier, not_before)
        found[target] = both

    for channel in audience.channels.values():
        if channel.filter is not None and passes(channel.filter, alert, facts):
            for target in _broadcast(channel):
                add(target, None)
    for preferences in audience.preferences:
        held = _held_until(preferences, alert, now)
        for subscription in preferences.subscriptions:
            if (
                subscription.target.channel in audience.channels
                and _owns(preferences, subscription.scope, facts)
                and _RANK[alert.severity] >= _RANK[subscription.severity_at_least]
            ):
                add(subscription.target, held)
    default = audience.channels.get(audience.default_channel or "")
    if default is not None:
        settled = {preferences.subject for preferences in audience.preferences}
        for owner in facts.owners:
            by_default = None if owner in settled else _by_default(default, owner)
            if by_default is not None:
                add(by_default, None)
    return found


def passes(wanted: Filter, alert: Alert, facts: DatasetFacts) -> bool:
    """Tell whether a channel's filter lets an alert through."""
    return (
        _RANK[alert.severity] >= _RANK[wanted.severity_at_least]
        and (not wanted.platforms or facts.platform in wanted.platforms)
        and (not wanted.domains or facts.domain in wanted.domains)
        and (not wanted.tags or not set(wanted.tags).isdisjoint(facts.tags))
        and (not wanted.owners or not set(wanted.owners).isdisjoint(facts.owners))
    )


def may_receive(channel: Channel, address: str) -> bool:
    """Tell whether people may have mail sent to an address by this channel."""
    return address.rpartition("@")[2].lower() in channel.recipient_domains


def _broadcast(channel: Channel) -> Sequence[Target]:
    if channel.kind is ChannelKind.SMTP:
        return [Target(channel.name, address) for address in channel.recipients]
    return [Target(channel.name)]


def _owns(preferences: Preferences, scope: Scope, facts: DatasetFacts) -> bool:
    if scope is Scope.OWNED:
        return preferences.subject in facts.owners
    return not set(preferences.teams).isdisjoint(facts.owners)


def _held_until(preferences: Preferences, alert: Alert, now: datetime) -> datetime | None:
    hours = preferences.quiet_hours
    if hours is None or (hours.errors_pierce and alert.severity is Severity.ERROR):
        return None
    return quiet_until(hours, now)


def _by_default(channel: Channel, owner: str) -> Target | None:
    if channel.kind is not ChannelKind.SMTP:
        return Target(channel.name)
    # Where people log in by their address, it is the name in their urn; no other is known.
    address = owner.removeprefix(_USER) if owner.startswith(_USER) else ""
    return Target(channel.name, address) if may_receive(channel, address) else None


def _message(
    alert: Alert,
    event: Event,
    facts: DatasetFacts,
    causes: Mapping[UUID, Alert],
    datahub_url: str,
    now: datetime,
) -> Message:
    by = {
        AlertState.ACKNOWLEDGED: alert.acknowledged_by,
        AlertState.CLOSED: alert.closed_by,
    }.get(alert.state)
    cause = None if alert.cause is None else causes.get(alert.cause)
    return Message(
        event=event,
        alert_id=alert.id,
        severity=alert.severity,
        state=alert.state,
        urn=alert.urn,
        dataset=facts.name,
        platform=facts.platform.rpartition(":")[2],
        check=alert.check.key,
        summary=alert.message,
        since=alert.opened_at,
        at=now,
        value=alert.value,
        expected=alert.expected,
        low=alert.low,
        high=alert.high,
        by=by,
        snoozed_until=alert.snoozed_until,
        owners=facts.owner_names,
        downstream=facts.downstream,
        queries=facts.queries,
        cause=None
        if cause is None
        else Cause(cause.id, cause.urn, dataset_name(cause.urn), cause.message),
        link=f"{datahub_url.rstrip('/')}/dataset/{quote(alert.urn, safe='')}",
    )


def _unknown(urn: str) -> DatasetFacts:
    # It has left the hub since; what was said of it is still to be ended.
    return DatasetFacts(urn, dataset_name(urn), urn.partition("(")[2].partition(",")[0])
