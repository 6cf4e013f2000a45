"""What a model needs to answer a question in SQL."""

from dataspoke.knowledge.sql_context import SqlContext
from dataspoke.resolvers.arguments import question as usable
from dataspoke.resolvers.context import Context


async def sql_context(
    context: Context, question: str, platform: str | None, token_budget: int
) -> SqlContext:
    """Return what is known of the tables that a question is about, of those the caller may see."""
    return await context.services.sql_contexts.context_for(
        await context.actor(), usable(question), platform, token_budget
    )
