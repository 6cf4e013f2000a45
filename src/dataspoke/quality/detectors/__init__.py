"""Detectors: what was to be expected of a point, from the points before it."""

from dataspoke.quality.detectors.dataset import (
    DatasetHistory,
    Verdict,
    judge_dataset,
    judge_datasets,
    judge_freshness,
)
from dataspoke.quality.detectors.judging import FALSE_ALARM_RATE, WARM_UP_POINTS, judge
from dataspoke.quality.detectors.watches import WATCHES, Direction, Watch

__all__ = [
    "FALSE_ALARM_RATE",
    "WARM_UP_POINTS",
    "WATCHES",
    "DatasetHistory",
    "Direction",
    "Verdict",
    "Watch",
    "judge",
    "judge_dataset",
    "judge_datasets",
    "judge_freshness",
]
