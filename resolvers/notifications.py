"""Notifications: what people want to hear, and what was sent."""

from collections.abc import Sequence

from dataspoke.quality.model import Alert
from dataspoke.quality.notifications.model import Channel, Delivery, Preferences, Target
from dataspoke.resolvers.context import Context


async def channels(context: Context) -> Sequence[Channel]:
    """Return the channels that people can choose from, by name."""
    return await context.services.notifications.channels(await context.actor())


async def preferences(context: Context, team: str | None) -> Preferences:
    """Return what the caller, or a team of theirs, wants to hear."""
    return await context.services.notifications.preferences_for(await context.actor(), team)


async def save_preferences(context: Context, team: str | None, wanted: Preferences) -> Preferences:
    """Return what the caller, or a team of theirs, wants to hear from now on."""
    return await context.services.notifications.save_preferences(
        await context.actor(), team, wanted
    )


async def send_test(context: Context, channel: str, address: str | None) -> None:
    """Return once a test message has been taken."""
    target = Target(channel, address or "")
    await context.services.notifications.send_test(await context.actor(), target)


async def deliveries(context: Context, alert: Alert) -> Sequence[Delivery] | None:
    """Return what was sent of an alert; None where the caller may not know."""
    return await context.loaders.deliveries.load(alert)
