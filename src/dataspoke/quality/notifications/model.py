"""The words of notifications: target, message, delivery, preference, quiet hours."""

from dataclasses import dataclass
from datetime import datetime, time
from enum import IntEnum, StrEnum
from uuid import UUID

from dataspoke.quality.model import AlertState, Severity


class ChannelKind(StrEnum):
    """The protocol that a channel speaks."""

    SLACK = "slack"
    SMTP = "smtp"
    PAGERDUTY = "pagerduty"
    WEBHOOK = "webhook"


class Event(StrEnum):
    """What happened to an alert, in the words of PagerDuty's Events API."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Where a message goes: a channel of the settings, and for mail the recipient there.

    ``address`` is empty for every other kind.
    """

    channel: str
    address: str = ""

    def __str__(self) -> str:
        return f"{self.channel}:{self.address}" if self.address else self.channel


@dataclass(frozen=True, slots=True)
class Filter:
    """Which alerts a channel is sent. An empty tuple lets any pass; all of them must match.

    Values are urns; ``owners`` names users and groups.
    """

    severity_at_least: Severity = Severity.WARN
    platforms: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that the settings name.

    What passes ``filter`` is sent to every one of ``recipients`` (for mail), or to the channel
    itself; None sends it only what people ask for. Mail that people ask for goes to addresses of
    ``recipient_domains`` only.
    """

    name: str
    kind: ChannelKind
    filter: Filter | None = None
    recipients: tuple[str, ...] = ()
    recipient_domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What routing and messages need to know of a dataset; owners, tags, … are urns.

    ``names`` maps urns to what people call them. ``downstream`` counts the datasets that are
    made from it, up to a thousand, ``queries`` those of the last month; None where not known.
    """

    urn: str
    name: str
    platform: str
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    domain: str | None = None
    owner_names: tuple[str, ...] = ()
    downstream: int | None = None
    queries: int | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """The alert upstream that explains this one."""

    alert_id: UUID
    urn: str
    dataset: str
    summary: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is said about one transition of an alert, whatever the channel.

    Kept in the outbox as it was at the transition, so that a second try says the same. ``dataset``
    and ``platform`` are names for people, ``check`` is the check's key, ``summary`` the alert's
    sentence. ``by`` is the urn of who acknowledged, snoozed or closed it. ``link`` is the dataset's
    page in DataHub. A ``test`` message is about no real alert.
    """

    event: Event
    alert_id: UUID
    severity: Severity
    state: AlertState
    urn: str
    dataset: str
    platform: str
    check: str
    summary: str
    since: datetime
    at: datetime
    value: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    by: str | None = None
    snoozed_until: datetime | None = None
    owners: tuple[str, ...] = ()
    downstream: int | None = None
    queries: int | None = None
    cause: Cause | None = None
    link: str | None = None
    test: bool = False


@dataclass(frozen=True, slots=True)
class Notification:
    """A message with the ``id`` by which a receiver knows it again when it comes twice."""

    id: UUID
    message: Message


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A notification for one target. ``change`` is the cursor of the alert change it is about.

    It is not sent before ``not_before``, such as the end of somebody's quiet hours, and not at all
    where the alert has ended by then; None for at once.
    """

    notification: Notification
    change: int
    target: Target
    not_before: datetime | None = None


class DeliveryState(StrEnum):
    """PENDING waits or is tried again; FAILED was refused for good; DROPPED was never sent."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DROPPED = "DROPPED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of the outbox. ``attempts`` counts the failed ones; ``detail`` is the last error, or
    why it was dropped. ``finished_at`` is None while PENDING.
    """

    outgoing: Outgoing
    state: DeliveryState
    attempts: int
    detail: str | None
    planned_at: datetime
    finished_at: datetime | None = None


class Scope(StrEnum):
    """Whose datasets a subscription is about."""

    OWNED = "OWNED"
    TEAMS = "TEAMS"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Alerts of at least a severity on the datasets of ``scope`` go to ``target``.

    OWNED is what the user or team itself owns, TEAMS what the teams of a user own.
    """

    scope: Scope
    target: Target
    severity_at_least: Severity = Severity.WARN


class Weekday(IntEnum):
    """As ``datetime.weekday`` counts."""

    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


@dataclass(frozen=True, slots=True)
class QuietWindow:
    """A stretch of each of ``days``, by the wall clock; it ends the day after where ``end`` is not
    after ``start``.
    """

    days: tuple[Weekday, ...]
    start: time
    end: time


@dataclass(frozen=True, slots=True)
class QuietHours:
    """When nothing shall come. With ``errors_pierce`` alerts of severity ERROR come all the same.

    ``time_zone`` is a name of the IANA database.
    """

    time_zone: str
    windows: tuple[QuietWindow, ...]
    errors_pierce: bool = False


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a user or a team (``subject``: a corpuser or corpGroup urn) wants to hear, and when.

    ``teams`` are the user's groups as the hub named them when this was saved; empty for a team.
    """

    subject: str
    subscriptions: tuple[Subscription, ...] = ()
    quiet_hours: QuietHours | None = None
    teams: tuple[str, ...] = ()
