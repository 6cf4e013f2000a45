"""From the settings to channels that send."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from dataspoke.adapters.notifiers.outgoing import OutgoingHttp
from dataspoke.adapters.notifiers.pagerduty import PagerDutyNotifier
from dataspoke.adapters.notifiers.slack import SlackNotifier
from dataspoke.adapters.notifiers.smtp import SmtpNotifier
from dataspoke.adapters.notifiers.webhook import WebhookNotifier
from dataspoke.errors import ConfigurationError
from dataspoke.ports.clock import Clock
from dataspoke.ports.notifier import Channels, Notifier
from dataspoke.quality.model import Severity
from dataspoke.quality.notifications.model import Channel, ChannelKind, Filter
from dataspoke.settings import (
    ChannelSettings,
    NotificationSettings,
    PagerDutySettings,
    SlackSettings,
    SmtpSettings,
)


@asynccontextmanager
async def open_channels(settings: NotificationSettings, clock: Clock) -> AsyncIterator[Channels]:
    """Yield the channels of the settings; nothing is connected to before something is sent.

    Raises ConfigurationError for a default channel that there is not.
    """
    if settings.default_channel and settings.default_channel not in settings.channels:
        raise ConfigurationError(
            f"DATASPOKE_NOTIFICATIONS__DEFAULT_CHANNEL is {settings.default_channel!r}, which is "
            "no channel; name one of DATASPOKE_NOTIFICATIONS__CHANNELS."
        )
    timeout = timedelta(seconds=settings.timeout_s)
    async with OutgoingHttp(settings.allowed_networks, timeout) as http:
        yield Channels(
            channels={name: _channel(name, one) for name, one in settings.channels.items()},
            notifiers={
                name: _notifier(one, http, timeout, clock)
                for name, one in settings.channels.items()
            },
            default=settings.default_channel or None,
            datahub_url=str(settings.datahub_url),
        )


def _channel(name: str, settings: ChannelSettings) -> Channel:
    wanted = Filter(
        Severity(settings.severity_at_least),
        tuple(settings.platforms),
        tuple(settings.domains),
        tuple(settings.tags),
        tuple(settings.owners),
    )
    kind, broadcast = ChannelKind(settings.kind), wanted if settings.broadcast else None
    if not isinstance(settings, SmtpSettings):
        return Channel(name, kind, broadcast)
    domains = settings.recipient_domains or [settings.sender.rpartition("@")[2]]
    allowed = tuple(domain.lower() for domain in domains)
    return Channel(name, kind, broadcast, tuple(settings.to), allowed)


def _notifier(
    settings: ChannelSettings, http: OutgoingHttp, timeout: timedelta, clock: Clock
) -> Notifier:
    if isinstance(settings, SlackSettings):
        return SlackNotifier(http, settings)
    if isinstance(settings, PagerDutySettings):
        return PagerDutyNotifier(http, settings)
    if isinstance(settings, SmtpSettings):
        return SmtpNotifier(settings, timeout)
    return WebhookNotifier(http, settings, clock)
