"""The quality score of a dataset: what share of its evidence is good, dimension by dimension.

Each check gives 1 where it passes, 1/2 where it fails with severity WARN, 0 where it fails. A
dimension's score is the mean of its checks, the dataset's the weighted mean of its dimensions, both
times 100: the simple ratio and the weighted average of Pipino, Lee and Wang, *Data Quality
Assessment*, Communications of the ACM 45(4), 2002. A dimension without evidence leaves both sums;
a dataset without any has no score, which is not a score of 0.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from dataspoke.quality.model import (
    DatasetQuality,
    Dimension,
    DimensionQuality,
    Metric,
    Result,
    Status,
)

Weights = Mapping[Dimension, float]

EQUAL: Weights = dict.fromkeys(Dimension, 1.0)

_WORST_FIRST = (Status.FAIL, Status.WARN, Status.PASS)
_ACHIEVED = {Status.PASS: 1.0, Status.WARN: 0.5, Status.FAIL: 0.0}

_DIMENSIONS: Mapping[Metric, Dimension] = {
    Metric.ROW_COUNT: Dimension.VOLUME,
    Metric.SIZE: Dimension.VOLUME,
    Metric.COLUMN_COUNT: Dimension.CONSISTENCY,
    Metric.NULL_SHARE: Dimension.COMPLETENESS,
    Metric.UNIQUE_SHARE: Dimension.UNIQUENESS,
    Metric.MEAN: Dimension.VALIDITY,
    Metric.MIN: Dimension.VALIDITY,
    Metric.MAX: Dimension.VALIDITY,
    Metric.STDEV: Dimension.VALIDITY,
    Metric.FRESHNESS: Dimension.FRESHNESS,
    Metric.LATE_ARRIVAL: Dimension.FRESHNESS,
    Metric.SLA: Dimension.FRESHNESS,
}


def dimension_of(metric: Metric | None) -> Dimension | None:
    """Return what a metric tells about; None for how often a dataset is queried."""
    return None if metric is None else _DIMENSIONS.get(metric)


def summarise(
    urn: str, newest: Sequence[Result], scanned_at: datetime, weights: Weights = EQUAL
) -> DatasetQuality:
    """Return the verdict that the newest result of each check amounts to.

    WARMING_UP and ERROR are no evidence. A dimension of weight 0 is shown and does not count.
    """
    judged = [r for r in newest if r.judgement.status in _ACHIEVED]
    statuses = {r.judgement.status for r in judged}
    dimensions = []
    for dimension in Dimension:
        found = [r.judgement.status for r in judged if r.dimension is dimension]
        if found:
            share = sum(_ACHIEVED[status] for status in found) / len(found)
            dimensions.append(DimensionQuality(dimension, _worst(set(found)), 100 * share))
    weight = sum(weights.get(d.dimension, 1.0) for d in dimensions)
    score = (
        sum(weights.get(d.dimension, 1.0) * d.score for d in dimensions) / weight
        if weight > 0
        else None
    )
    return DatasetQuality(
        urn, _worst(statuses), score, tuple(dimensions), tuple(newest), scanned_at
    )


def _worst(statuses: set[Status]) -> Status:
    return next((status for status in _WORST_FIRST if status in statuses), Status.WARMING_UP)
