"""Detectors: what was to be expected of a point, from the points before it."""

from dataspoke.quality.detectors.budget import DEFAULT_BUDGET, FalseAlarmBudget
from dataspoke.quality.detectors.dataset import (
    DatasetHistory,
    Verdict,
    basis_of,
    cadence,
    judge_dataset,
    judge_datasets,
    judge_freshness,
    rates,
)
from dataspoke.quality.detectors.exclusions import NOTHING_EXCLUDED, Exclusions
from dataspoke.quality.detectors.judging import judge
from dataspoke.quality.detectors.monitor import (
    FALSE_ALARM_RATE,
    NO_FEEDBACK,
    STATE_VERSION,
    WARM_UP_POINTS,
    SeriesMonitor,
    StaleState,
)
from dataspoke.quality.detectors.watches import WATCHES, Direction, Watch

__all__ = [
    "DEFAULT_BUDGET",
    "FALSE_ALARM_RATE",
    "NOTHING_EXCLUDED",
    "NO_FEEDBACK",
    "STATE_VERSION",
    "WARM_UP_POINTS",
    "WATCHES",
    "DatasetHistory",
    "Direction",
    "Exclusions",
    "FalseAlarmBudget",
    "SeriesMonitor",
    "StaleState",
    "Verdict",
    "Watch",
    "basis_of",
    "cadence",
    "judge",
    "judge_dataset",
    "judge_datasets",
    "judge_freshness",
    "rates",
]
