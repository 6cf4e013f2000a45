"""The state of this installation."""

from dataspoke.resolvers.context import Context
from dataspoke.status import Status


async def status(context: Context) -> Status:
    """Return what works and what does not, for any caller whom the hub knows."""
    return await context.services.operations.status(await context.actor())
