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
    LOW = "LOW"


@dataclass(frozen=True, slots=True)
class Watch:
    """What a detector must know of a metric.

    ``floor`` is the least value there can be and ``cap`` the largest. With ``relative`` deviations
    are measured as ratios (in log(1 + value), which wants a floor of 0), else as differences. The
    expected range reaches at least ``least_change`` (in the metric's unit) and ``least_share`` of
    the expected value away from it, so that neither rounding nor a few rows more make an alert.
    With ``thorough`` Prophet and an Isolation Forest are asked too, each fit of which costs as much
    as all else does for a year of days.
    """

    direction: Direction = Direction.BOTH
    floor: float | None = None
    cap: float | None = None
    relative: bool = False
    least_change: float = 0.0
    least_share: float = 1e-6
    thorough: bool = True


# Rows and freshness tell of most faults, and each table has one series of them; of columns it may
# have hundreds, so that only these two are watched thoroughly.
#
# The least changes are what nobody would want to be told of: a twentieth of the rows, an hour's
# delay, a hundredth of the values, half of the queries. A column more or less always is news.
# A single row moves the least and the greatest value of a column.
_EXTREME = Watch(least_share=0.3, thorough=False)
WATCHES: Mapping[Metric, Watch] = MappingProxyType(
    {
        Metric.ROW_COUNT: Watch(floor=0.0, relative=True, least_change=1.0, least_share=0.05),
        Metric.COLUMN_COUNT: Watch(floor=0.0, least_change=0.5, thorough=False),
        Metric.SIZE: Watch(
            floor=0.0, relative=True, least_change=1.0, least_share=0.1, thorough=False
        ),
        Metric.NULL_SHARE: Watch(
            direction=Direction.HIGH, floor=0.0, cap=1.0, least_change=0.01, thorough=False
        ),
        Metric.UNIQUE_SHARE: Watch(
            direction=Direction.LOW, floor=0.0, cap=1.0, least_change=0.01, thorough=False
        ),
        Metric.MEAN: Watch(least_share=0.05, thorough=False),
        Metric.MIN: _EXTREME,
        Metric.MAX: _EXTREME,
        Metric.STDEV: Watch(floor=0.0, least_share=0.1, thorough=False),
        Metric.FRESHNESS: Watch(
            direction=Direction.HIGH, floor=0.0, relative=True, least_change=1.0, least_share=0.05
        ),
        # Early is below 0; nothing comes a year early.
        Metric.LATE_ARRIVAL: Watch(
            direction=Direction.HIGH, floor=-8760.0, least_change=1.0, thorough=False
        ),
        Metric.QUERY_COUNT: Watch(
            floor=0.0, relative=True, least_change=5.0, least_share=0.5, thorough=False
        ),
    }
)
