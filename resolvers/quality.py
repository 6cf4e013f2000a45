"""Verdicts and scans."""

from collections.abc import Sequence
from datetime import datetime

from dataspoke.quality.model import Alert, Check, DatasetQuality, Result
from dataspoke.resolvers import arguments
from dataspoke.resolvers.context import Context


async def verdict(context: Context, urn: str) -> DatasetQuality | None:
    """Return the latest verdict; None where there is none, or the caller may not see it."""
    return await context.loaders.quality.load(urn)


async def results(context: Context, verdict: DatasetQuality, first: int) -> Sequence[Result]:
    """Return the newest ``first`` results of each check, newest first."""
    if arguments.page_size(first) == 1:
        return verdict.results
    return await context.loaders.results.load((verdict.urn, first))


async def active_alerts(context: Context, urn: str) -> Sequence[Alert]:
    """Return alerts that have not ended, newest first."""
    return await context.loaders.active_alerts.load(urn) or ()


async def history(
    context: Context,
    urn: str,
    check: Check,
    since: datetime | None,
    until: datetime | None,
    last: int,
) -> Sequence[Result]:
    """Return the newest ``last`` results of a check between two times, oldest first."""
    return await context.services.quality.history_of(
        await context.actor(),
        urn,
        check,
        arguments.moment("since", since),
        arguments.moment("until", until),
        arguments.point_count(last),
    )


async def request_scan(context: Context, urns: Sequence[str]) -> int:
    """Return how many jobs that is."""
    return await context.services.quality.request_scan(
        await context.actor(), arguments.dataset_urns(urns) or (), context.traceparent
    )
