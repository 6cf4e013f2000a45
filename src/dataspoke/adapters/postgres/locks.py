"""Locks that hold for all processes of an installation."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.postgres.errors import translated


@asynccontextmanager
async def advisory_lock(engine: AsyncEngine, key: int) -> AsyncIterator[None]:
    """Hold PostgreSQL's advisory lock ``key`` while inside; it ends with the connection.

    Raises DependencyTimeout where others hold it for as long as a statement may run.
    """
    # Without a transaction, which would be ended for its idleness.
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with AsyncExitStack() as stack:
        with translated():
            connection = await stack.enter_async_context(autocommit.connect())
            await connection.execute(select(func.pg_advisory_lock(key)))
        try:
            yield
        except BaseException:
            # Whatever cut it off may have left the connection in the middle of something.
            await connection.invalidate()
            raise
        with translated():
            await connection.execute(select(func.pg_advisory_unlock(key)))
