"""Notifications: channels, what people want to hear, and what was sent."""

from datetime import datetime, time
from typing import Annotated, TypeAlias

import strawberry

from dataspoke.errors import DependencyError
from dataspoke.quality.model import Severity
from dataspoke.quality.notifications import model
from dataspoke.quality.notifications.model import (
    ChannelKind,
    DeliveryState,
    Event,
    Scope,
    Weekday,
)
from dataspoke.resolvers import notifications as resolve
from dataspoke.schema.enum import describe
from dataspoke.schema.failure import ForbiddenFailure, InvalidInputFailure
from dataspoke.schema.info import Info

describe(
    ChannelKind,
    name="NotificationChannelKind",
    description="The protocol that a channel speaks.",
    values={
        "SLACK": "An incoming webhook of Slack.",
        "SMTP": "A mail server; whoever subscribes names an address.",
        "PAGERDUTY": "A service of PagerDuty.",
        "WEBHOOK": "An endpoint that takes signed JSON.",
    },
)
describe(
    Event,
    name="NotificationEvent",
    description="What happened to an alert.",
    values={
        "TRIGGER": "It opened, or opened again.",
        "ACKNOWLEDGE": "Somebody took it up, or put it off.",
        "RESOLVE": "It ended.",
    },
)
describe(
    DeliveryState,
    name="NotificationDeliveryState",
    description="How far a delivery has come.",
    values={
        "PENDING": "It waits for its time or turn, or is tried again.",
        "DELIVERED": "The receiver has taken it.",
        "DROPPED": "It was not sent, as it was not needed any more.",
        "FAILED": "The receiver refused it for good.",
    },
)
describe(
    Scope,
    name="NotificationScope",
    description="Whose datasets a subscription is about.",
    values={
        "OWNED": "Those that the user, or the team, owns.",
        "TEAMS": "Those that the user's teams own.",
    },
)
describe(
    Weekday,
    name="NotificationWeekday",
    description="A day of the week.",
    values={day.name: f"{day.name.capitalize()}." for day in Weekday},
)

_TEAM = "Urn of a group that the caller is a member of; null for the caller's own."
_ADDRESS = "Where mail goes; null for every other kind of channel."
_ZONE = "Time zone of the IANA database, such as Europe/Berlin."
_PIERCE = "Whether alerts of severity ERROR come all the same."
_END = "When it ends; on the next day where that is not after the start."


@strawberry.type(description="A channel that this installation has, to be chosen by its name.")
class NotificationChannel:
    name: str = strawberry.field(description="Its name in the settings.")
    kind: ChannelKind = strawberry.field(description="The protocol that it speaks.")
    recipient_domains: list[str] = strawberry.field(
        description="Domains that mail may be sent to; empty for every other kind."
    )

    @classmethod
    def of(cls, channel: model.Channel) -> "NotificationChannel":
        return cls(
            name=channel.name,
            kind=channel.kind,
            recipient_domains=list(channel.recipient_domains),
        )


@strawberry.type(description="Alerts that somebody wants to hear of, and where.")
class NotificationSubscription:
    scope: Scope = strawberry.field(description="Whose datasets they are about.")
    severity_at_least: Severity = strawberry.field(description="The mildest alerts to send.")
    channel: str = strawberry.field(description="Name of the channel.")
    address: str | None = strawberry.field(description=_ADDRESS)

    @classmethod
    def of(cls, subscription: model.Subscription) -> "NotificationSubscription":
        return cls(
            scope=subscription.scope,
            severity_at_least=subscription.severity_at_least,
            channel=subscription.target.channel,
            address=subscription.target.address or None,
        )


@strawberry.type(description="A quiet stretch of some days of each week.")
class NotificationQuietWindow:
    days: list[Weekday] = strawberry.field(description="The days on which it begins.")
    start: time = strawberry.field(description="When it begins, by the clock on the wall.")
    end: time = strawberry.field(description=_END)

    @classmethod
    def of(cls, window: model.QuietWindow) -> "NotificationQuietWindow":
        return cls(days=list(window.days), start=window.start, end=window.end)


@strawberry.type(
    description="When nothing shall come. What falls into it is held until it ends, and dropped "
    "where the alert has ended by then."
)
class NotificationQuietHours:
    time_zone: str = strawberry.field(description=_ZONE)
    windows: list[NotificationQuietWindow] = strawberry.field(description="The quiet stretches.")
    errors_pierce: bool = strawberry.field(description=_PIERCE)

    @classmethod
    def of(cls, hours: model.QuietHours) -> "NotificationQuietHours":
        return cls(
            time_zone=hours.time_zone,
            windows=[NotificationQuietWindow.of(window) for window in hours.windows],
            errors_pierce=hours.errors_pierce,
        )


@strawberry.type(description="What a user or a team wants to hear, and when.")
class NotificationPreferences:
    subject: str = strawberry.field(description="Urn of the user or the group.")
    subscriptions: list[NotificationSubscription] = strawberry.field(
        description="What they want to hear of, and where; empty for nothing."
    )
    quiet_hours: NotificationQuietHours | None = strawberry.field(
        description="When nothing shall come; null for never."
    )
    teams: list[str] = strawberry.field(
        description="The user's groups when this was saved, whose datasets the scope TEAMS is "
        "about."
    )

    @classmethod
    def of(cls, preferences: model.Preferences) -> "NotificationPreferences":
        hours = preferences.quiet_hours
        return cls(
            subject=preferences.subject,
            subscriptions=[NotificationSubscription.of(one) for one in preferences.subscriptions],
            quiet_hours=None if hours is None else NotificationQuietHours.of(hours),
            teams=list(preferences.teams),
        )


@strawberry.type(description="What was sent of a change of an alert, or is to be.")
class NotificationDelivery:
    id: strawberry.ID = strawberry.field(
        description="The idempotency key that the receiver is given."
    )
    event: Event = strawberry.field(description="What happened to the alert.")
    channel: str = strawberry.field(description="Name of the channel.")
    address: str | None = strawberry.field(
        description="Where mail goes; null for every other kind of channel, and for an address "
        "that is not the caller's unless they manage DataHub."
    )
    state: DeliveryState = strawberry.field(description="How far it has come.")
    attempts: int = strawberry.field(description="How often it failed and was tried again.")
    detail: str | None = strawberry.field(
        description="The last error, or why it was dropped; null where all went well."
    )
    planned_at: datetime = strawberry.field(description="When it was put into the outbox.")
    not_before: datetime | None = strawberry.field(
        description="When it is sent, unless the alert has ended by then; null for at once."
    )
    finished_at: datetime | None = strawberry.field(
        description="When it was delivered, dropped or given up; null while it is pending."
    )

    @classmethod
    def of(cls, delivery: model.Delivery) -> "NotificationDelivery":
        outgoing = delivery.outgoing
        return cls(
            id=strawberry.ID(str(outgoing.notification.id)),
            event=outgoing.notification.message.event,
            channel=outgoing.target.channel,
            address=outgoing.target.address or None,
            state=delivery.state,
            attempts=delivery.attempts,
            detail=delivery.detail,
            planned_at=delivery.planned_at,
            not_before=outgoing.not_before,
            finished_at=delivery.finished_at,
        )


@strawberry.input(description="Alerts to hear of, and where.")
class NotificationSubscriptionInput:
    scope: Scope = strawberry.field(description="Whose datasets they are about.")
    channel: str = strawberry.field(description="Name of the channel.")
    severity_at_least: Severity = strawberry.field(
        default=Severity.WARN, description="The mildest alerts to send."
    )
    address: str | None = strawberry.field(default=None, description=_ADDRESS)

    def as_model(self) -> model.Subscription:
        target = model.Target(self.channel, self.address or "")
        return model.Subscription(self.scope, target, self.severity_at_least)


@strawberry.input(description="A quiet stretch of some days of each week.")
class NotificationQuietWindowInput:
    days: list[Weekday] = strawberry.field(description="The days on which it begins.")
    start: time = strawberry.field(description="When it begins, by the clock on the wall.")
    end: time = strawberry.field(description=_END)

    def as_model(self) -> model.QuietWindow:
        # The wall clock has no offset of its own: that of the time zone counts.
        start, end = self.start.replace(tzinfo=None), self.end.replace(tzinfo=None)
        return model.QuietWindow(tuple(sorted(set(self.days))), start, end)


@strawberry.input(description="When nothing shall come.")
class NotificationQuietHoursInput:
    time_zone: str = strawberry.field(description=_ZONE)
    windows: list[NotificationQuietWindowInput] = strawberry.field(
        description="The quiet stretches, at most 20."
    )
    errors_pierce: bool = strawberry.field(default=False, description=_PIERCE)

    def as_model(self) -> model.QuietHours:
        windows = tuple(window.as_model() for window in self.windows)
        return model.QuietHours(self.time_zone, windows, self.errors_pierce)


@strawberry.input(description="What a user or a team wants to hear, and when.")
class NotificationPreferencesInput:
    subscriptions: list[NotificationSubscriptionInput] = strawberry.field(
        description="What they want to hear of, and where, at most 50; empty for nothing."
    )
    quiet_hours: NotificationQuietHoursInput | None = strawberry.field(
        default=None, description="When nothing shall come; null for never."
    )

    def as_model(self) -> model.Preferences:
        return model.Preferences(
            subject="",
            subscriptions=tuple(one.as_model() for one in self.subscriptions),
            quiet_hours=None if self.quiet_hours is None else self.quiet_hours.as_model(),
        )


@strawberry.type(description="The preferences are in force for every alert from now on.")
class NotificationPreferencesSaved:
    preferences: NotificationPreferences = strawberry.field(description="What is in force.")


@strawberry.type(description="The receiver has taken the test message.")
class TestNotificationSent:
    channel: str = strawberry.field(description="Name of the channel.")


@strawberry.type(description="The receiver did not take the message.")
class NotificationFailure:
    message: str = strawberry.field(description="What it answered.")


SaveNotificationPreferencesResult: TypeAlias = Annotated[
    NotificationPreferencesSaved | ForbiddenFailure | InvalidInputFailure,
    strawberry.union(
        "SaveNotificationPreferencesResult", description="What came of saving preferences."
    ),
]
SendTestNotificationResult: TypeAlias = Annotated[
    TestNotificationSent | NotificationFailure | ForbiddenFailure | InvalidInputFailure,
    strawberry.union("SendTestNotificationResult", description="What came of testing a channel."),
]
Team: TypeAlias = Annotated[str | None, strawberry.argument(description=_TEAM)]


@strawberry.type
class NotificationQuery:
    @strawberry.field(description="The channels that people can choose from.")
    async def notification_channels(self, info: Info) -> list[NotificationChannel] | None:
        return [NotificationChannel.of(one) for one in await resolve.channels(info.context)]

    @strawberry.field(
        description="What the caller, or a team of theirs, wants to hear, and when. Those who "
        "manage DataHub may read any team's."
    )
    async def notification_preferences(
        self, info: Info, team: Team = None
    ) -> NotificationPreferences | None:
        return NotificationPreferences.of(await resolve.preferences(info.context, team))


@strawberry.type
class NotificationMutation:
    @strawberry.mutation(
        description="Replaces what the caller, or a team of theirs, wants to hear. Those who "
        "manage DataHub may change any team's."
    )
    async def save_notification_preferences(
        self,
        info: Info,
        preferences: Annotated[
            NotificationPreferencesInput,
            strawberry.argument(description="What they want to hear, and when."),
        ],
        team: Team = None,
    ) -> SaveNotificationPreferencesResult | None:
        saved = await resolve.save_preferences(info.context, team, preferences.as_model())
        return NotificationPreferencesSaved(preferences=NotificationPreferences.of(saved))

    @strawberry.mutation(
        description="Sends a message about no alert and waits for the receiver. The caller, or a "
        "team of theirs, must be subscribed there, or the caller must manage DataHub."
    )
    async def send_test_notification(
        self,
        info: Info,
        channel: Annotated[str, strawberry.argument(description="Name of the channel.")],
        address: Annotated[str | None, strawberry.argument(description=_ADDRESS)] = None,
    ) -> SendTestNotificationResult | None:
        try:
            await resolve.send_test(info.context, channel, address)
        except DependencyError as error:
            if error.port != "notifier":
                raise
            return NotificationFailure(message=error.public_message)
        return TestNotificationSent(channel=channel)
