"""How datasets are watched."""

from dataclasses import replace

from dataspoke.quality.model import MonitorSettings
from dataspoke.resolvers import arguments
from dataspoke.resolvers.context import Context


async def settings(context: Context, urn: str) -> MonitorSettings | None:
    """Return how a dataset is watched; None where the caller may not see it."""
    return await context.loaders.monitors.load(urn)


async def configure(context: Context, wanted: MonitorSettings) -> MonitorSettings:
    """Return how the dataset is watched from now on."""
    checked = replace(
        wanted,
        urn=arguments.dataset_urn(wanted.urn),
        exclusions=tuple(
            replace(
                window,
                start=arguments.moment("start", window.start),
                end=arguments.moment("end", window.end),
            )
            for window in wanted.exclusions
        ),
        muted_until=arguments.moment("mutedUntil", wanted.muted_until),
    )
    return await context.services.monitors.configure(await context.actor(), checked)
