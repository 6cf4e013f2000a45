"""The words of Quality Control: metric, check, point, judgement, result, alert."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Metric(StrEnum):
    """What is watched. Of the whole dataset, or of one of its columns where the comment says so."""

    ROW_COUNT = "row_count"  # rows
    COLUMN_COUNT = "column_count"  # columns
    SIZE = "size"  # bytes
    NULL_SHARE = "null_share"  # of a column, 0 to 1
    UNIQUE_SHARE = "unique_share"  # of a column, 0 to 1
    MEAN = "mean"  # of a column, in its own unit, as the next three
    MIN = "min"
    MAX = "max"
    STDEV = "stdev"
    FRESHNESS = "freshness"  # hours since the dataset was last updated
    LATE_ARRIVAL = "late_arrival"  # hours from when an update was to be expected
    QUERY_COUNT = "query_count"  # queries a day
    SLA = "sla"  # hours past the deadline that a load is expected at


class Dimension(StrEnum):
    """What a check tells about, in the words of DAMA UK, *The Six Primary Dimensions for Data
    Quality Assessment* (2013); its accuracy is validity here, its timeliness freshness."""

    COMPLETENESS = "COMPLETENESS"
    FRESHNESS = "FRESHNESS"
    VOLUME = "VOLUME"
    VALIDITY = "VALIDITY"
    UNIQUENESS = "UNIQUENESS"
    CONSISTENCY = "CONSISTENCY"


class Severity(StrEnum):
    """How bad it is where a check fails."""

    WARN = "WARN"
    ERROR = "ERROR"


class Status(StrEnum):
    """A verdict. WARN is a failing check of that severity; WARMING_UP means that there is too
    little history to judge, and ERROR that a rule could not be evaluated."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"
    WARMING_UP = "WARMING_UP"
    ERROR = "ERROR"


class AlertState(StrEnum):
    """RESOLVED ended by itself, CLOSED by a person; the others are active."""

    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    SNOOZED = "SNOOZED"
    RESOLVED = "RESOLVED"
    CLOSED = "CLOSED"


ACTIVE = (AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.SNOOZED)


class FeedbackKind(StrEnum):
    """What a person says of an alert: wrong, right, or a change that is meant to stay."""

    FALSE_POSITIVE = "FALSE_POSITIVE"
    REAL = "REAL"
    EXPECTED_CHANGE = "EXPECTED_CHANGE"


@dataclass(frozen=True, slots=True, order=True)
class Check:
    """What is checked on a dataset: a metric, of the whole or of a column, or a rule."""

    metric: Metric | None = None
    column: str | None = None
    rule: UUID | None = None

    @property
    def key(self) -> str:
        """As text: ``row_count``, ``null_share:email`` or ``rule:`` and the rule's id."""
        if self.rule is not None:
            return f"rule:{self.rule}"
        return f"{self.metric}" if self.column is None else f"{self.metric}:{self.column}"

    @classmethod
    def parse(cls, key: str) -> "Check":
        """Return the check of a key; raises ValueError for a text that is none."""
        head, _, rest = key.partition(":")
        if head == "rule":
            return cls(rule=UUID(rest))
        return cls(Metric(head), rest or None)


@dataclass(frozen=True, slots=True)
class Point:
    """One observation of a metric."""

    time: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """One point judged: by a detector against the points before it, or by a rule.

    ``expected``, ``low`` and ``high`` are in the check's unit; ``score`` is how unusual the point
    is among the series' own past, 0 (usual) to 1 (never seen). All are None while warming up, for
    the freshness of a deprecated dataset, which passes at any age, and where a rule has no such
    number. ``detail`` is a sentence on what a rule found, None where the numbers say it all.
    """

    point: Point
    status: Status
    detector: str
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    score: float | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A judgement that was kept, for one dataset and check.

    ``dimension`` is what it tells about, None for what is no quality of the data, as queries are.
    """

    urn: str
    check: Check
    judgement: Judgement
    judged_at: datetime
    dimension: Dimension | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """A check that failed, from the first failing point to the first passing one.

    ``dedupe_key`` is the same for the same first failing point, so that a repeated scan cannot
    raise it twice. ``version`` rises by one with each change that is saved; 0 is not saved yet.
    ``cause`` is the alert on an upstream dataset that explains this one, None where it stands for
    itself. ``reopened`` counts how often it came back soon after it had resolved, the last time
    at ``reopened_at``. ``ended_at`` is when it resolved or was closed. Who acknowledged or closed
    it is a corpuser urn.
    """

    id: UUID
    urn: str
    check: Check
    state: AlertState
    dedupe_key: str
    opened_at: datetime
    observed_at: datetime
    value: float
    message: str
    severity: Severity = Severity.ERROR
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    score: float | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    snoozed_until: datetime | None = None
    ended_at: datetime | None = None
    closed_by: str | None = None
    reopened: int = 0
    reopened_at: datetime | None = None
    cause: UUID | None = None
    feedback: FeedbackKind | None = None
    version: int = 0

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said of the point that an alert began with. ``by`` is a corpuser urn."""

    urn: str
    check: Check
    point_time: datetime
    kind: FeedbackKind
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start`` up to, and without, ``end``."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """How the metrics of a dataset are watched, where somebody has said so.

    ``alerts_per_fortnight`` is the number of false alarms that its owner puts up with, None for
    the general setting. What lies in ``exclusions``, or on a holiday of ``country`` (ISO 3166, two
    letters; None for none), is neither judged nor learned from. Until ``muted_until`` no alert
    opens. ``version`` rises with each change, 0 is not saved yet.
    """

    urn: str
    enabled: bool = True
    alerts_per_fortnight: float | None = None
    country: str | None = None
    exclusions: tuple[Window, ...] = ()
    muted_until: datetime | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What the detector of one series has learned from all points up to ``judged_until``.

    ``basis`` tells from what it was learned beside the points: what has another one is fitted
    anew. ``failing_since`` is when the fault began that its last point belongs to, None where that
    passes.
    """

    urn: str
    check: Check
    basis: str
    state: bytes
    fitted_at: datetime
    judged_until: datetime
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert after a transition, as the feed carries it. ``cursor`` orders changes, rising."""

    cursor: int
    alert: Alert


@dataclass(frozen=True, slots=True)
class DimensionQuality:
    """The verdict on one dimension: its worst status, and the score of its checks, 0 to 100."""

    dimension: Dimension
    status: Status
    score: float


@dataclass(frozen=True, slots=True)
class DatasetQuality:
    """The latest verdict on a dataset.

    ``status`` is the worst of all checks: FAIL, WARN, PASS where at least one was judged and none
    fails, WARMING_UP where none could be judged yet. ``score``, 0 to 100, is None where there is
    no evidence; ``dimensions`` holds those that have some. ``results`` holds the newest result of
    each check.
    """

    urn: str
    status: Status
    score: float | None
    dimensions: tuple[DimensionQuality, ...]
    results: tuple[Result, ...]
    scanned_at: datetime


@dataclass(frozen=True, slots=True)
class Impact:
    """What depends on a dataset: datasets made from it, over any number of steps, its queries of
    the last thirty days, None where the caller may not know, and its owners, by urn.

    ``complete`` is false where there are more datasets than were counted.
    """

    downstream: int
    complete: bool
    queries: int | None
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Alerts, newest first, with one opaque cursor each; ``has_next`` tells that more follow."""

    alerts: tuple[Alert, ...]
    cursors: tuple[str, ...]
    has_next: bool
