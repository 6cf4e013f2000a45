"""Search."""

from collections.abc import Sequence

from dataspoke.knowledge.model import Hit, SearchFilters, SearchPage
from dataspoke.resolvers.arguments import page_size, question
from dataspoke.resolvers.context import Context


async def search(
    context: Context, query: str, filters: SearchFilters, first: int, after: str | None
) -> SearchPage:
    """Return the datasets that answer a question, best first, of those the caller may see."""
    return await context.services.search.search(
        await context.actor(), question(query), filters, page_size(first), after
    )


async def similar(context: Context, urn: str, first: int) -> Sequence[Hit]:
    """Return the datasets closest in meaning, of those the caller may see."""
    return await context.loaders.similar.load((urn, page_size(first)))
