"""The series of a dataset, and the verdicts on them."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dataspoke.catalogue import Operation, Profile, Usage
from dataspoke.quality.detectors.budget import DEFAULT_BUDGET, FalseAlarmBudget
from dataspoke.quality.detectors.exclusions import NOTHING_EXCLUDED, Exclusions
from dataspoke.quality.detectors.judging import judge
from dataspoke.quality.detectors.monitor import (
    ADOPT_AFTER_POINTS,
    FALSE_ALARM_RATE,
    NO_FEEDBACK,
    STATE_VERSION,
    SeriesMonitor,
    StaleState,
)
from dataspoke.quality.detectors.watches import WATCHES
from dataspoke.quality.metrics import Series, ages, series_of, update_times
from dataspoke.quality.model import Check, FeedbackKind, Judgement, Metric, Point, Status

# Stands where a detector's name does.
_DEPRECATED = "deprecated"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check's judgements, oldest first and never empty; the last is on its present state.

    ``failing_since`` names the fault that the last judgement belongs to, None where it passes:
    the time of the first failing point, and of a load that is awaited that of the last update, or
    when the next was due. It stays the same however often the fault is looked at. ``model`` is
    what the next scan goes on from, None where nothing was learned yet.
    """

    check: Check
    judgements: tuple[Judgement, ...]
    failing_since: datetime | None
    model: "Model | None" = None


def judge_freshness(
    operations: Sequence[Operation], looks: Sequence[datetime], rate: float = FALSE_ALARM_RATE
) -> list[Judgement]:
    """Return what a scan at each of ``looks`` would have said of the freshness at that moment.

    Each is judged from the operations before it alone; looks before the first update drop out.
    """
    if not looks:
        return []
    found = ages(update_times(operations, looks[-1]), looks)
    judged = judge(
        found.points,
        WATCHES[Metric.FRESHNESS],
        rate=rate,
        season_times=found.begun_at,
        probes=frozenset(found.looks),
    )
    return [judged[position] for position in found.looks]


@dataclass(frozen=True, slots=True)
class Model:
    """The models of one check as stored, after all of its points up to ``learned_until``.

    ``fitted_at`` is the point at which season and trend were last estimated, None before that.
    """

    state: bytes
    version: int
    learned_until: datetime
    fitted_at: datetime | None


@dataclass(frozen=True, slots=True)
class DatasetHistory:
    """What is known of one dataset, up to when each of its checks has been judged, and how it is
    watched.

    ``feedback`` holds what persons said, by check and time of the point. ``models`` are those of
    the scan before: whoever changes exclusions or feedback leaves them out, so that the history is
    judged anew.
    """

    urn: str
    profiles: tuple[Profile, ...]
    operations: tuple[Operation, ...]
    judged_until: Mapping[Check, datetime]
    deprecated: bool = False
    usage: tuple[Usage, ...] = ()
    budget: FalseAlarmBudget = DEFAULT_BUDGET
    exclusions: Exclusions = NOTHING_EXCLUDED
    feedback: Mapping[Check, Mapping[datetime, FeedbackKind]] = field(default_factory=dict)
    models: Mapping[Check, Model] = field(default_factory=dict)


def judge_datasets(histories: Sequence[DatasetHistory], now: datetime) -> dict[str, list[Verdict]]:
    """Return the verdicts on each dataset, by its urn; see ``judge_history``."""
    return {history.urn: judge_history(history, now) for history in histories}


def judge_dataset(
    profiles: Sequence[Profile],
    operations: Sequence[Operation],
    now: datetime,
    judged_until: Mapping[Check, datetime],
    *,
    deprecated: bool = False,
) -> list[Verdict]:
    """Return the verdicts on a dataset watched in the general way; see ``judge_history``."""
    history = DatasetHistory(
        "", tuple(profiles), tuple(operations), judged_until, deprecated=deprecated
    )
    return judge_history(history, now)


def judge_history(history: DatasetHistory, now: datetime) -> list[Verdict]:
    """Return the verdict on each check that the dataset has points of (see ``series_of``).

    Points up to ``judged_until`` were judged before and are left out, except the last. The share
    of points that may be called faults follows from the budget and the number of series. Nobody
    owes a deprecated dataset a load: its freshness passes at any age. Late arrival
    has no verdict: freshness has told of the same load while it was awaited, and two alerts would
    have one cause.
    """
    found = series_of(history.profiles, history.operations, history.usage, now)
    found.pop(Check(Metric.LATE_ARRIVAL), None)
    rate = history.budget.rate(_cadence(series.points) for series in found.values())
    verdicts = []
    for check, series in found.items():
        if history.deprecated and check.metric is Metric.FRESHNESS:
            excused = Judgement(series.points[-1], Status.PASS, _DEPRECATED)
            verdicts.append(Verdict(check, (excused,), None))
            continue
        verdicts.append(_judge_series(history, check, series, rate))
    return verdicts


def _judge_series(history: DatasetHistory, check: Check, series: Series, rate: float) -> Verdict:
    assert check.metric is not None  # noqa: S101  series are those of metrics
    points = series.points
    times = series.season_times or tuple(point.time for point in points)
    monitor, begin = _monitor(history, check, points, rate)
    new = _first_after(points, history.judged_until.get(check))
    # No fault lasts longer before it is the new normal.
    asked = max(begin, new - ADOPT_AFTER_POINTS)
    judged: list[Judgement] = []
    learned_until: datetime | None = None
    failing_since: datetime | None = None
    for index in range(begin, len(points)):
        point, time = points[index], times[index]
        if index in series.probes:
            if index >= new:
                judged.append(monitor.probe(point, time))
                failing_since = time if judged[-1].status is Status.FAIL else None
            continue
        learned_until = point.time
        if index < asked:
            monitor.learn(point, time)
            continue
        judgement = monitor.observe(point, time)
        failing_since = monitor.failing_since
        if index >= new:
            judged.append(judgement)
    if not judged and monitor.latest is not None:
        judged.append(monitor.latest)
        failing_since = monitor.failing_since
    kept = history.models.get(check) if learned_until is None else None
    if learned_until is not None:
        kept = Model(monitor.state(), STATE_VERSION, learned_until, monitor.fitted_at)
    return Verdict(check, tuple(judged), failing_since, kept)


def _monitor(
    history: DatasetHistory, check: Check, points: Sequence[Point], rate: float
) -> tuple[SeriesMonitor, int]:
    """Return the check's monitor, and the position of the first point that it has not seen."""
    assert check.metric is not None  # noqa: S101
    watch = WATCHES[check.metric]
    feedback = history.feedback.get(check, NO_FEEDBACK)
    model = history.models.get(check)
    if model is not None and model.version == STATE_VERSION:
        with suppress(StaleState):
            monitor = SeriesMonitor.restore(
                model.state, watch, rate, exclusions=history.exclusions, feedback=feedback
            )
            seen = bisect_right(points, model.learned_until, key=lambda point: point.time)
            # Without a new point, what was said of the newest must be known.
            if seen < len(points) or monitor.latest is not None:
                return monitor, seen
    return SeriesMonitor(watch, rate, exclusions=history.exclusions, feedback=feedback), 0


def _cadence(points: Sequence[Point]) -> timedelta:
    if len(points) < 2:
        return timedelta(days=1)
    return (points[-1].time - points[0].time) / (len(points) - 1)


def _first_after(points: Sequence[Point], until: datetime | None) -> int:
    if until is None:
        return 0
    return min(bisect_right(points, until, key=lambda point: point.time), len(points) - 1)
