"""Deadlines."""

from dataclasses import replace

from dataspoke.quality.sla.model import Sla, SlaBacktest, SlaTarget
from dataspoke.resolvers import arguments
from dataspoke.resolvers.context import Context


async def sla(context: Context, urn: str) -> Sla | None:
    """Return how it stands with a dataset; None where it has no target, or it may not be seen."""
    return await context.loaders.slas.load(urn)


async def set_target(context: Context, wanted: SlaTarget) -> SlaTarget:
    """Return the target that holds from now on."""
    target = replace(wanted, urn=arguments.dataset_urn(wanted.urn))
    return await context.services.slas.set_target(await context.actor(), target)


async def remove_target(context: Context, urn: str) -> None:
    """Remove a target with its history."""
    await context.services.slas.remove_target(await context.actor(), arguments.dataset_urn(urn))


async def backtest(context: Context, target: SlaTarget) -> SlaBacktest:
    """Return what a target would have warned of."""
    checked = replace(target, urn=arguments.dataset_urn(target.urn))
    return await context.services.slas.backtest(await context.actor(), checked)
