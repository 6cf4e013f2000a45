"""Metadata health."""

from dataspoke.health.model import HealthScore, RankingPage
from dataspoke.resolvers.arguments import page_size
from dataspoke.resolvers.context import Context


async def score(context: Context, urn: str) -> HealthScore | None:
    """Return the latest score; None where there is none, or the caller may not see it."""
    return await context.loaders.health.load(urn)


async def ranking(
    context: Context, *, ascending: bool, first: int, after: str | None
) -> RankingPage:
    """Return the datasets that the caller may see by score."""
    return await context.services.health.ranking(
        await context.actor(), ascending, page_size(first), after
    )
