"""The series of a dataset, and the verdicts on them."""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from dataspoke.catalogue import Operation, Profile, Usage
from dataspoke.quality.detectors.budget import FalseAlarmBudget
from dataspoke.quality.detectors.exclusions import Exclusions
from dataspoke.quality.detectors.judging import judge
from dataspoke.quality.detectors.monitor import (
    ADOPT_AFTER_POINTS,
    FALSE_ALARM_RATE,
    SeriesMonitor,
    StaleState,
)
from dataspoke.quality.detectors.watches import WATCHES
from dataspoke.quality.metrics import Series, ages, series_of, update_times
from dataspoke.quality.model import (
    Check,
    Feedback,
    FeedbackKind,
    Judgement,
    Metric,
    MonitorSettings,
    Point,
    Result,
    Status,
    StoredModel,
)

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
# Stands where a detector's name does.
_DEPRECATED = "deprecated"
_OF_LOADS = (Metric.FRESHNESS, Metric.LATE_ARRIVAL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check's new judgements, oldest first and never empty; the last is on its present state.

    ``failing_since`` names the fault that the last judgement belongs to, None where it passes: the
    time of the first failing point, and for freshness and late arrival that which the hours are
    counted from. It stays the same however often the fault is looked at. ``model`` is what is to
    be stored for the next scan, None where nothing was learned.
    """

    check: Check
    judgements: tuple[Judgement, ...]
    failing_since: datetime | None = None
    model: StoredModel | None = None


@dataclass(frozen=True, slots=True)
class DatasetHistory:
    """What is known of one dataset.

    Profiles, operations and usage need to reach back no further than the ``models`` have judged;
    where there is no model of the right ``basis``, its series is learned from all that is here.
    ``previous`` are the newest results of the scan before, ``judged_until`` the times of the newest
    results that are kept.
    """

    urn: str
    profiles: tuple[Profile, ...] = ()
    operations: tuple[Operation, ...] = ()
    usage: tuple[Usage, ...] = ()
    deprecated: bool = False
    settings: MonitorSettings | None = None
    feedback: tuple[Feedback, ...] = ()
    previous: tuple[Result, ...] = ()
    models: Mapping[Check, StoredModel] = field(default_factory=dict)
    judged_until: Mapping[Check, datetime] = field(default_factory=dict)


def basis_of(settings: MonitorSettings | None, feedback: Sequence[Feedback]) -> str:
    """Return from what, beside the points, models are learned: what is excluded and what was said.

    A digest that is the same in every process and release.
    """
    excluded = None if settings is None else [asdict(w) for w in settings.exclusions]
    country = None if settings is None else settings.country
    said = [(f.check.key, f.point_time, f.kind) for f in feedback]
    text = json.dumps([excluded or [], country, said], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def judge_datasets(
    histories: Sequence[DatasetHistory], now: datetime, alerts_per_fortnight: float = 1.0
) -> dict[str, list[Verdict]]:
    """Return the verdicts on each dataset, by its urn; see ``judge_dataset``."""
    return {each.urn: judge_dataset(each, now, alerts_per_fortnight) for each in histories}


def judge_dataset(
    history: DatasetHistory, now: datetime, alerts_per_fortnight: float = 1.0
) -> list[Verdict]:
    """Return the verdict on each check that the dataset has points of, or had.

    Points that were judged before are left out, except that a check without a new point has its
    previous judgement again. ``alerts_per_fortnight`` is the budget of datasets whose settings
    name none. Nobody owes a deprecated dataset a load: its freshness passes at any age, and it is
    never late.
    """
    series = series_of(history.profiles, history.operations, history.usage, now)
    if history.deprecated:
        series = {c: s for c, s in series.items() if c.metric not in _OF_LOADS}
    judging = _Judging(history, now, _rates(history, series, alerts_per_fortnight))
    verdicts = [
        verdict
        for check, its in series.items()
        if (verdict := judging.verdict(check, its)) is not None
    ]
    verdicts += _kept(history, series)
    updates = update_times(history.operations, now)
    if history.deprecated and updates:
        age = Point(now, (now - updates[-1]) / _HOUR)
        excused = Judgement(age, Status.PASS, _DEPRECATED)
        verdicts.append(Verdict(Check(Metric.FRESHNESS), (excused,)))
    return verdicts


def _rates(
    history: DatasetHistory, series: Mapping[Check, Series], alerts_per_fortnight: float
) -> dict[Check, float]:
    settings = history.settings
    if settings is not None and settings.alerts_per_fortnight is not None:
        alerts_per_fortnight = settings.alerts_per_fortnight
    cadences = dict.fromkeys(history.models, _DAY)
    cadences |= {check: cadence(its) for check, its in series.items()}
    return rates(FalseAlarmBudget(alerts_per_fortnight), cadences)


def rates(budget: FalseAlarmBudget, cadences: Mapping[Check, timedelta]) -> dict[Check, float]:
    """Return for each check of a dataset the share of healthy points that may be called faults.

    ``cadences`` holds the usual distance of two points of each. What is not watched thoroughly has
    the lesser rate.
    """
    lesser = {c for c in cadences if c.metric is None or not WATCHES[c.metric].thorough}
    rate = budget.rate(cadences.values())
    lesser_rate = min(rate, budget.lesser_rate(cadences[check] for check in lesser))
    return {check: lesser_rate if check in lesser else rate for check in cadences}


def cadence(series: Series) -> timedelta:
    """Return the usual distance of two observations, a day where there are too few to tell."""
    times = [p.time for i, p in enumerate(series.points) if i not in series.probes]
    steps = sorted(after - before for before, after in pairwise(times))
    return steps[len(steps) // 2] if len(steps) > 1 else _DAY


def _kept(history: DatasetHistory, series: Mapping[Check, Series]) -> Iterator[Verdict]:
    """Yield the previous verdict on each metric that has no point in this part of the history.

    Of columns there is none where a newer profile tells that they are not watched any more.
    """
    profiled = any(profile.columns for profile in history.profiles)
    for result in history.previous:
        check = result.check
        if check.metric is None or check in series or (check.column is not None and profiled):
            continue
        if history.deprecated and check.metric in _OF_LOADS:
            continue
        model = history.models.get(check)
        since = None if model is None else model.failing_since
        yield Verdict(check, (result.judgement,), since)


class _Judging:
    """Judges the series of one dataset."""

    def __init__(
        self, history: DatasetHistory, now: datetime, rates: Mapping[Check, float]
    ) -> None:
        settings = history.settings
        self._history = history
        self._now = now
        self._rates = rates
        self._basis = basis_of(settings, history.feedback)
        self._exclusions = (
            Exclusions() if settings is None else Exclusions(settings.exclusions, settings.country)
        )
        self._said: dict[Check, dict[datetime, FeedbackKind]] = {}
        for said in history.feedback:
            self._said.setdefault(said.check, {})[said.point_time] = said.kind

    def verdict(self, check: Check, series: Series) -> Verdict | None:
        """Return the verdict on a check; None where none of its points was ever judged."""
        monitor, model = self._monitor(check, series)
        learned_until = None if model is None else model.judged_until
        since = None if model is None else model.failing_since
        begin = _first_to_judge(series.points, self._history.judged_until.get(check))
        seasons = series.season_times or tuple(point.time for point in series.points)
        judgements: list[Judgement] = []
        observed: datetime | None = None
        probed: tuple[Judgement, datetime] | None = None
        for position, (point, season) in enumerate(zip(series.points, seasons, strict=True)):
            if position in series.probes:
                probed = monitor.probe(point, season), season
                continue
            if learned_until is not None and point.time <= learned_until:
                continue
            observed = point.time
            # No fault lasts longer before it is the new normal: where it began is seen from there.
            if position < begin - ADOPT_AFTER_POINTS:
                monitor.learn(point, season)
                continue
            judgement = monitor.observe(point, season)
            since = _since(judgement, season, since)
            if position >= begin:
                judgements.append(judgement)
        learned = None
        if observed is not None:
            fitted_at = self._now if model is None else model.fitted_at
            state = monitor.state()
            urn = self._history.urn
            learned = StoredModel(urn, check, self._basis, state, fitted_at, observed, since)
        if probed is not None:
            judgements.append(probed[0])
            since = _since(*probed, None)
        if not judgements:
            judgements = [r.judgement for r in self._history.previous if r.check == check]
        return Verdict(check, tuple(judgements), since, learned) if judgements else None

    def _monitor(self, check: Check, series: Series) -> tuple[SeriesMonitor, StoredModel | None]:
        """Return the monitor to go on with, and the model it came from; None for a new one."""
        assert check.metric is not None  # noqa: S101  series are of metrics
        watch, rate = WATCHES[check.metric], self._rates[check]
        said = _learned_from(series, self._said.get(check, {}))
        model = self._history.models.get(check)
        if model is not None and model.basis == self._basis:
            try:
                monitor = SeriesMonitor.restore(
                    model.state, watch, rate, exclusions=self._exclusions, feedback=said
                )
            except StaleState:
                pass
            else:
                return monitor, model
        return (
            SeriesMonitor(watch, rate, exclusions=self._exclusions, feedback=said),
            None,
        )


def _learned_from(
    series: Series, said: Mapping[datetime, FeedbackKind]
) -> dict[datetime, FeedbackKind]:
    """Return feedback by the points that are learned from.

    Of a look at what was still going on it is about the point that came of it.
    """
    times = [p.time for place, p in enumerate(series.points) if place not in series.probes]
    places = {bisect_left(times, time): kind for time, kind in said.items()}
    return {times[place]: kind for place, kind in places.items() if place < len(times)}


def _since(judgement: Judgement, at: datetime, since: datetime | None) -> datetime | None:
    """Return since when the series fails after this judgement; what is not judged ends nothing."""
    if judgement.status is Status.FAIL:
        return since or at
    return None if judgement.status is Status.PASS else since


def _first_to_judge(points: Sequence[Point], judged_until: datetime | None) -> int:
    """Return the position of the first point without a result, or of the last one of all."""
    if judged_until is None:
        return 0
    new = next((i for i, p in enumerate(points) if p.time > judged_until), len(points))
    return min(new, len(points) - 1)


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
