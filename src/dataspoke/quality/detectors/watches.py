"""How each metric is watched: which direction matters, on which scale, and what is too small."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from dataspoke.quality.model import Metric


class Direction(StrEnum):
    """Which side of the expected range is a fault."""

    BOTH = "BOTH"
    HIGH = "HIGH"


@dataclass(frozen=True, slots=True)
class Watch:
    """What a detector must know of a metric.

    ``floor`` is the least value there can be; with ``relative`` deviations are measured as ratios
    (in log(1 + value), which wants a floor of 0), else as differences. The expected range
    reaches at least ``least_change`` (in the metric's unit) and ``least_share`` of the expected
    value away from it, so that neither rounding nor a few rows more make an alert.
    """

    direction: Direction = Direction.BOTH
    floor: float | None = None
    relative: bool = False
    least_change: float = 0.0
    least_share: float = 1e-6


WATCHES: Mapping[Metric, Watch] = MappingProxyType(
    {
        Metric.ROW_COUNT: Watch(floor=0.0, relative=True, least_change=1.0, least_share=0.05),
        Metric.FRESHNESS: Watch(
            direction=Direction.HIGH, floor=0.0, relative=True, least_change=1.0, least_share=0.05
        ),
    }
)
