"""Runs: asked for, listed, cancelled, resumed, followed."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from dataspoke.ports.runs import Run
from dataspoke.quality.runs import RunPage
from dataspoke.resolvers import arguments
from dataspoke.resolvers.context import Context
from dataspoke.resolvers.live import while_signed_in


async def run(context: Context, run: str) -> Run | None:
    """Return a run; None where there is none."""
    return await context.services.runs.run(await context.actor(), arguments.run_id(run))


async def listed(context: Context, first: int, after: str | None) -> RunPage:
    """Return runs, newest first."""
    return await context.services.runs.listed(
        await context.actor(), arguments.page_size(first), after
    )


async def request(context: Context) -> Run:
    """Return the run that scans every dataset."""
    return await context.services.runs.request(await context.actor(), context.traceparent)


async def cancel(context: Context, run: str) -> Run:
    """Return the run, cancelled."""
    return await context.services.runs.cancel(await context.actor(), arguments.run_id(run))


async def resume(context: Context, run: str) -> Run:
    """Return the run, which goes on."""
    return await context.services.runs.resume(await context.actor(), arguments.run_id(run))


async def progress(context: Context, run: str) -> AsyncGenerator[Run, None]:
    """Yield the run as it goes on, to its end or for as long as the token is good."""
    stream = context.services.runs.progress(await context.actor(), arguments.run_id(run))
    async with aclosing(while_signed_in(context, stream)) as seen:
        async for item in seen:
            yield item
