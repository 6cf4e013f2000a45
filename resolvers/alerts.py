"""Alerts: listed, acknowledged, streamed."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from dataspoke.quality.model import Alert, AlertChange, AlertPage, AlertState
from dataspoke.resolvers import arguments
from dataspoke.resolvers.context import Context


async def listed(
    context: Context,
    urns: Sequence[str] | None,
    states: Sequence[AlertState] | None,
    first: int,
    after: str | None,
) -> AlertPage:
    """Return alerts on datasets that the caller may see, newest first."""
    return await context.services.quality.alerts(
        await context.actor(),
        arguments.dataset_urns(urns),
        states,
        arguments.page_size(first),
        after,
    )


async def acknowledge(context: Context, alert: str) -> Alert:
    """Return the alert, acknowledged by the caller."""
    return await context.services.quality.acknowledge(
        await context.actor(), arguments.alert_id(alert)
    )


async def changes(
    context: Context, urns: Sequence[str] | None, after: str | None
) -> AsyncGenerator[AlertChange, None]:
    """Yield what changed after the cursor, then what changes, for as long as the token is good.

    The token is checked before every delivery, and at an interval while nothing happens; raises
    Unauthenticated once the hub no longer accepts it.
    """
    stream = context.services.quality.stream(
        await context.actor(), arguments.dataset_urns(urns), arguments.change_cursor(after)
    )
    try:
        while True:
            coming = asyncio.ensure_future(anext(stream))
            try:
                while not coming.done():
                    await asyncio.wait({coming}, timeout=context.identity_check.total_seconds())
                    await context.identify()
            finally:
                if not coming.done():
                    coming.cancel()
                    with suppress(asyncio.CancelledError, StopAsyncIteration):
                        await coming
            try:
                change = coming.result()
            except StopAsyncIteration:
                return
            yield change
    finally:
        await stream.aclose()
