"""Search."""

from collections.abc import Sequence

from dataspoke.knowledge.model import Difference, Hit, Neighbourhood, SearchFilters, SearchPage
from dataspoke.resolvers.arguments import page_size, question
from dataspoke.resolvers.context import Context


async def search(
    context: Context,
    query: str,
    filters: SearchFilters,
    first: int,
    after: str | None,
    *,
    interpret: bool,
    facets: bool,
) -> SearchPage:
    """Return the datasets that answer a question, best first, of those the caller may see."""
    return await context.services.search.search(
        await context.actor(),
        question(query),
        filters,
        page_size(first),
        after,
        interpret=interpret,
        facets=facets,
    )


async def similar(context: Context, urn: str, first: int) -> Sequence[Hit]:
    """Return the datasets closest in meaning, of those the caller may see."""
    return await context.loaders.similar.load((urn, page_size(first)))


async def difference(context: Context, here: str, there: str) -> Difference | None:
    """Return how one dataset differs from another; None where the caller may not see both."""
    return await context.loaders.differences.load((here, there))


async def lineage(context: Context, urn: str) -> Neighbourhood | None:
    """Return the neighbours of a dataset that the caller may see; None where it is unknown."""
    return await context.loaders.lineage.load(urn)
