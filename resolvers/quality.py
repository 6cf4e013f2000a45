"""Verdicts and scans."""

from collections.abc import Sequence

from dataspoke.quality.model import Alert, DatasetQuality, Result
from dataspoke.resolvers.arguments import dataset_urns, page_size
from dataspoke.resolvers.context import Context


async def verdict(context: Context, urn: str) -> DatasetQuality | None:
    """Return the latest verdict; None where there is none, or the caller may not see it."""
    return await context.loaders.quality.load(urn)


async def results(context: Context, verdict: DatasetQuality, first: int) -> Sequence[Result]:
    """Return the newest ``first`` results of each metric, newest first."""
    if page_size(first) == 1:
        return verdict.results
    return await context.loaders.results.load((verdict.urn, first))


async def active_alerts(context: Context, urn: str) -> Sequence[Alert]:
    """Return alerts that are not resolved, newest first."""
    return await context.loaders.active_alerts.load(urn) or ()


async def request_scan(context: Context, urns: Sequence[str] | None) -> int:
    """Return how many jobs that is; None asks for all datasets, in one job."""
    return await context.services.quality.request_scan(
        await context.actor(), dataset_urns(urns), context.traceparent
    )
