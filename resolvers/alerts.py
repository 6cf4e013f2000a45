"""Alerts: listed, changed, streamed."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from uuid import UUID

from dataspoke.quality.model import Alert, AlertChange, AlertPage, AlertState, FeedbackKind, Impact
from dataspoke.resolvers import arguments
from dataspoke.resolvers.context import Context
from dataspoke.resolvers.live import while_signed_in


async def listed(
    context: Context,
    urns: Sequence[str] | None,
    states: Sequence[AlertState] | None,
    first: int,
    after: str | None,
) -> AlertPage:
    """Return alerts on datasets that the caller may see, newest first."""
    return await context.services.alerts.listed(
        await context.actor(),
        arguments.dataset_urns(urns),
        states,
        arguments.page_size(first),
        after,
    )


async def acknowledge(context: Context, alert: str) -> Alert:
    """Return the alert, acknowledged by the caller."""
    return await context.services.alerts.acknowledge(
        await context.actor(), arguments.alert_id(alert)
    )


async def explained_by(context: Context, alert: UUID) -> Sequence[Alert]:
    """Return the active alerts downstream that this one is the cause of, newest first."""
    return await context.loaders.victims.load(alert)


async def impact(context: Context, urn: str) -> Impact | None:
    """Return what depends on a dataset; None where the caller may not see it."""
    return await context.loaders.impact.load(urn)


async def snooze(context: Context, alert: str, until: datetime) -> Alert:
    """Return the alert, quiet until that time."""
    return await context.services.alerts.snooze(
        await context.actor(), arguments.alert_id(alert), arguments.moment("until", until)
    )


async def close(context: Context, alert: str) -> Alert:
    """Return the alert, closed by the caller."""
    return await context.services.alerts.close(await context.actor(), arguments.alert_id(alert))


async def assess(context: Context, alert: str, kind: FeedbackKind) -> Alert:
    """Return the alert with what the caller says of it."""
    return await context.services.alerts.assess(
        await context.actor(), arguments.alert_id(alert), kind
    )


async def changes(
    context: Context, urns: Sequence[str] | None, after: str | None
) -> AsyncGenerator[AlertChange, None]:
    """Yield what changed after the cursor, then what changes, for as long as the token is good."""
    stream = context.services.alerts.stream(
        await context.actor(), arguments.dataset_urns(urns), arguments.change_cursor(after)
    )
    async with aclosing(while_signed_in(context, stream)) as seen:
        async for change in seen:
            yield change
