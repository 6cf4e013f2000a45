"""Backtests of monitors."""

from collections.abc import Sequence

from dataspoke.errors import InvalidInput
from dataspoke.quality.backtest import Backtest, CheckBacktest, thinned
from dataspoke.quality.model import Check, Judgement, Metric
from dataspoke.resolvers import arguments
from dataspoke.resolvers.context import Context


async def run(
    context: Context,
    urn: str,
    metric: Metric | None,
    column: str | None,
    days: int,
    alerts_per_fortnight: float | None,
) -> Backtest:
    """Return what scans of the last ``days`` would have alerted on."""
    if column is not None and metric is None:
        raise InvalidInput(f"column is {column!r} and metric is null; name the column's metric.")
    check = None if metric is None else Check(metric, column)
    return await context.services.backtests.backtest(
        await context.actor(), arguments.dataset_urn(urn), check, days, alerts_per_fortnight
    )


def points(found: CheckBacktest, most: int) -> Sequence[Judgement]:
    """Return at most so many judgements for a picture; raises InvalidInput unless 1 to 1,000."""
    if not 1 <= most <= arguments.MAX_POINTS:
        raise InvalidInput(f"most must be 1 to {arguments.MAX_POINTS}; it is {most}.")
    return thinned(found.judgements, most)
