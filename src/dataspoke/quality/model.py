"""The words of Quality Control: metric, point, band, result, alert."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Metric(StrEnum):
    """What is watched. The unit is in the name of the DataHub profile field or below."""

    ROW_COUNT = "row_count"  # rows
    FRESHNESS = "freshness"  # hours since the dataset was last updated


class Status(StrEnum):
    """A verdict. WARMING_UP means that there is too little history to judge."""

    PASS = "PASS"
    FAIL = "FAIL"
    WARMING_UP = "WARMING_UP"


class AlertState(StrEnum):
    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class Point:
    """One observation of a metric."""

    time: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """One point judged against the points before it.

    ``expected``, ``low`` and ``high`` are in the metric's unit; ``score`` is how unusual the point
    is among the series' own past, 0 (usual) to 1 (never seen). All are None while warming up, and
    for the freshness of a deprecated dataset, which passes at any age.
    """

    point: Point
    status: Status
    detector: str
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A judgement that was kept, for one dataset and metric."""

    urn: str
    metric: Metric
    judgement: Judgement
    judged_at: datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """A metric that left its expected range, from the first failing point to the first passing one.

    ``dedupe_key`` is the same for the same first failing point, so that a repeated scan cannot
    raise it twice. ``acknowledged_by`` is a corpuser urn.
    """

    id: UUID
    urn: str
    metric: Metric
    state: AlertState
    dedupe_key: str
    opened_at: datetime
    observed_at: datetime
    value: float
    expected: float
    low: float
    high: float
    score: float
    message: str
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert after a transition, as the feed carries it. ``cursor`` orders changes, rising."""

    cursor: int
    alert: Alert


@dataclass(frozen=True, slots=True)
class DatasetQuality:
    """The latest verdict on a dataset.

    ``status`` is FAIL where any metric fails, PASS where at least one was judged and none fails,
    WARMING_UP where none could be judged yet. ``score`` is the share of judged metrics that pass,
    0 to 100, and None where none was judged. ``results`` holds the newest result of each metric.
    """

    urn: str
    status: Status
    score: float | None
    results: tuple[Result, ...]
    scanned_at: datetime


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Alerts, newest first, with one opaque cursor each; ``has_next`` tells that more follow."""

    alerts: tuple[Alert, ...]
    cursors: tuple[str, ...]
    has_next: bool
